"""Filters that colour sound: second-order sections, drawn elsewhere, applied in float64.

Shelves, peaks and passes are those of R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter
coefficients" (W3C Note, 2021). The random section is that of J.-M. Valin, "A hybrid DSP/deep learning approach to
real-time full-band speech enhancement" (RNNoise), MMSP 2018, section V. All sections have their poles inside the unit
circle. Sections are rows ``[b0, b1, b2, 1, a1, a2]`` of a float64 array ``[K,6]``, as scipy has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, cheby2, sosfilt

BUTTERWORTH_Q = math.sqrt(0.5)

RANDOM_MAX = 0.375
"""The four numbers of a random section lie between minus and plus 3/8 (Valin, 2018)."""

LINE_ORDER, LINE_STOP_DB = 4, 60.0
"""Order of a telephone band at each edge; attenuation above a low-pass cut."""

PIVOT_HZ = 1000.0
"""A tilt leaves this frequency where it is."""


def random_section(numbers: Sequence[float]) -> np.ndarray:
    """Build Valin's section ``(1 + r1/z + r2/z^2) / (1 + r3/z + r4/z^2)`` out of four numbers within RANDOM_MAX."""
    r1, r2, r3, r4 = numbers
    return np.array([[1.0, r1, r2, 1.0, r3, r4]])


def low_shelf(hz: float, gain_db: float, sample_rate: int, q: float = BUTTERWORTH_Q) -> np.ndarray:
    """Raise or lower what lies below ``hz`` by ``gain_db``."""
    return _shelf(hz, gain_db, sample_rate, q, -1.0)


def high_shelf(hz: float, gain_db: float, sample_rate: int, q: float = BUTTERWORTH_Q) -> np.ndarray:
    """Raise or lower what lies above ``hz`` by ``gain_db``."""
    return _shelf(hz, gain_db, sample_rate, q, 1.0)


def peak(hz: float, gain_db: float, sample_rate: int, q: float = 1.0) -> np.ndarray:
    """Raise or lower a band around ``hz`` by ``gain_db``; a larger ``q`` makes it narrower."""
    cosine, alpha, a = _prewarped(hz, sample_rate, q, gain_db)
    return _section(1 + alpha * a, -2 * cosine, 1 - alpha * a, 1 + alpha / a, -2 * cosine, 1 - alpha / a)


def high_pass(hz: float, sample_rate: int, q: float = BUTTERWORTH_Q) -> np.ndarray:
    """Take away what lies below ``hz``, 12 dB per octave."""
    cosine, alpha, _ = _prewarped(hz, sample_rate, q)
    edge = (1 + cosine) / 2
    return _section(edge, -2 * edge, edge, 1 + alpha, -2 * cosine, 1 - alpha)


def low_pass(hz: float, sample_rate: int, q: float = BUTTERWORTH_Q) -> np.ndarray:
    """Take away what lies above ``hz``, 12 dB per octave."""
    cosine, alpha, _ = _prewarped(hz, sample_rate, q)
    edge = (1 - cosine) / 2
    return _section(edge, 2 * edge, edge, 1 + alpha, -2 * cosine, 1 - alpha)


def tilt(slope_db: float, sample_rate: int) -> np.ndarray:
    """Tilt the spectrum about 1 kHz by ``slope_db`` per octave.

    A chain of gentle low shelves two octaves apart, each worth ``2 slope_db``, with a gain that leaves the pivot alone.
    """
    centres = [hz for hz in PIVOT_HZ * 4.0 ** np.arange(-1, 2) if hz < 0.45 * sample_rate]
    sections = np.concatenate([low_shelf(hz, -2 * slope_db, sample_rate, 0.4) for hz in centres])
    sections[0, :3] /= abs(response(sections, np.array([PIVOT_HZ]), sample_rate)[0])
    return sections


def telephone(low_hz: float, high_hz: float, sample_rate: int) -> np.ndarray:
    """Keep a band such as the telephone's, 300 to 3400 Hz (ITU-T G.712): a Butterworth band-pass."""
    return np.asarray(butter(LINE_ORDER, (low_hz, high_hz), "bandpass", output="sos", fs=sample_rate))


def steep_low_pass(hz: float, sample_rate: int) -> np.ndarray:
    """Cut off what lies above ``hz``, as encoders of few bits do: Chebyshev II, flat below the cut."""
    return np.asarray(cheby2(10, LINE_STOP_DB, hz, "lowpass", output="sos", fs=sample_rate))


def response(sections: np.ndarray, hz: np.ndarray, sample_rate: int) -> np.ndarray:
    """Complex gain of a chain of sections at the frequencies ``hz`` [F]."""
    delays = np.exp(-2j * math.pi * np.outer(hz / sample_rate, np.arange(3)))
    return np.prod((delays @ sections[:, :3].T) / (delays @ sections[:, 3:].T), axis=1)


def colour(audio: np.ndarray, sections: np.ndarray) -> np.ndarray:
    """Send float ``[T]`` through a chain of sections, from silence on: float32 ``[T]``."""
    return np.asarray(sosfilt(sections, audio.astype(np.float64))).astype(np.float32)


def _shelf(hz: float, gain_db: float, sample_rate: int, q: float, side: float) -> np.ndarray:
    """The cookbook's low shelf (``side`` -1) and high shelf (+1), which differ in some signs."""
    cosine, alpha, a = _prewarped(hz, sample_rate, q, gain_db)
    more, less, root = a + 1, a - 1, 2 * math.sqrt(a) * alpha
    return _section(
        a * (more + side * less * cosine + root),
        -2 * side * a * (less + side * more * cosine),
        a * (more + side * less * cosine - root),
        more - side * less * cosine + root,
        2 * side * (less - side * more * cosine),
        more - side * less * cosine - root,
    )


def _prewarped(hz: float, sample_rate: int, q: float, gain_db: float = 0.0) -> tuple[float, float, float]:
    """The cookbook's cos(w0), alpha and A."""
    if not 0 < hz < sample_rate / 2:
        raise ValueError(f"a filter at {hz} Hz is not between 0 and half of {sample_rate} Hz")
    angle = 2 * math.pi * hz / sample_rate
    return math.cos(angle), math.sin(angle) / (2 * q), 10 ** (gain_db / 40)


def _section(*numbers: float) -> np.ndarray:
    """One section out of b0, b1, b2, a0, a1, a2."""
    return np.array([numbers]) / numbers[3]
