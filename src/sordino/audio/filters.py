"""Filters that change the spectrum of a signal, as second-order sections that are applied in float64.

Shelves, peaks, high-pass and low-pass are those of R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad
filter coefficients" (W3C Note, 2021). The random section is that of J.-M. Valin, "A hybrid DSP/deep learning approach
to real-time full-band speech enhancement" (RNNoise), MMSP 2018, section V. All sections have their poles inside the
unit circle. A filter is a float64 array ``[K,6]`` of K sections ``[b0, b1, b2, 1, a1, a2]``, as in scipy. Parameters
are drawn at random in ``data``. ``scipy.signal`` is imported where it is used: that takes a second of a processor, and
most runs filter nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BUTTERWORTH_Q = math.sqrt(0.5)

RANDOM_MAX = 0.375
"""Largest magnitude of the four numbers of a random section (Valin, 2018)."""

LINE_ORDER, LINE_STOP_DB = 4, 60.0
"""Order of the telephone band-pass at each edge; attenuation of the steep low-pass above its cut in dB."""

PIVOT_HZ = 1000.0
"""Frequency whose gain a tilt leaves at 0 dB."""


def random_section(numbers: Sequence[float]) -> np.ndarray:
    """Build Valin's section ``(1 + r1/z + r2/z^2) / (1 + r3/z + r4/z^2)`` from four numbers within +-RANDOM_MAX."""
    r1, r2, r3, r4 = numbers
    return np.array([[1.0, r1, r2, 1.0, r3, r4]])


def low_shelf(hz: float, gain_db: float, sample_rate: int, q: float = BUTTERWORTH_Q) -> np.ndarray:
    """Build a section that changes the level below ``hz`` by ``gain_db``."""
    return _shelf(hz, gain_db, sample_rate, q, -1.0)


def high_shelf(hz: float, gain_db: float, sample_rate: int) -> np.ndarray:
    """Build a section that changes the level above ``hz`` by ``gain_db``."""
    return _shelf(hz, gain_db, sample_rate, BUTTERWORTH_Q, 1.0)


def peak(hz: float, gain_db: float, sample_rate: int, q: float = 1.0) -> np.ndarray:
    """Build a section that changes the level of a band around ``hz`` by ``gain_db``; a larger ``q`` is narrower."""
    cosine, alpha, a = _prewarped(hz, sample_rate, q, gain_db)
    return _section(1 + alpha * a, -2 * cosine, 1 - alpha * a, 1 + alpha / a, -2 * cosine, 1 - alpha / a)


def high_pass(hz: float, sample_rate: int) -> np.ndarray:
    """Build a high-pass section with its cut at ``hz`` and 12 dB per octave."""
    cosine, alpha, _ = _prewarped(hz, sample_rate, BUTTERWORTH_Q)
    edge = (1 + cosine) / 2
    return _section(edge, -2 * edge, edge, 1 + alpha, -2 * cosine, 1 - alpha)


def low_pass(hz: float, sample_rate: int) -> np.ndarray:
    """Build a low-pass section with its cut at ``hz`` and 12 dB per octave."""
    cosine, alpha, _ = _prewarped(hz, sample_rate, BUTTERWORTH_Q)
    edge = (1 - cosine) / 2
    return _section(edge, 2 * edge, edge, 1 + alpha, -2 * cosine, 1 - alpha)


def tilt(slope_db: float, sample_rate: int) -> np.ndarray:
    """Build a filter that tilts the spectrum about 1 kHz by ``slope_db`` per octave.

    It is a chain of gentle low shelves two octaves apart, each worth ``2 slope_db``, with a gain that keeps 1 kHz.
    """
    centres = [hz for hz in PIVOT_HZ * 4.0 ** np.arange(-1, 2) if hz < 0.45 * sample_rate]
    sections = np.concatenate([low_shelf(hz, -2 * slope_db, sample_rate, 0.4) for hz in centres])
    sections[0, :3] /= abs(response(sections, np.array([PIVOT_HZ]), sample_rate)[0])
    return sections


def telephone(low_hz: float, high_hz: float, sample_rate: int) -> np.ndarray:
    """Build a Butterworth band-pass, such as the telephone's of 300 to 3400 Hz (ITU-T G.712)."""
    from scipy.signal import butter

    return np.asarray(butter(LINE_ORDER, (low_hz, high_hz), "bandpass", output="sos", fs=sample_rate))


def steep_low_pass(hz: float, sample_rate: int) -> np.ndarray:
    """Build a steep low-pass, as encoders at low bit rates apply: Chebyshev II, flat below the cut at ``hz``."""
    from scipy.signal import cheby2

    return np.asarray(cheby2(10, LINE_STOP_DB, hz, "lowpass", output="sos", fs=sample_rate))


def response(sections: np.ndarray, hz: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the complex gain [F] of a chain of sections at the frequencies ``hz`` [F]."""
    delays = np.exp(-2j * math.pi * np.outer(hz / sample_rate, np.arange(3)))
    return np.prod((delays @ sections[:, :3].T) / (delays @ sections[:, 3:].T), axis=1)


def apply_filters(audio: np.ndarray, sections: np.ndarray) -> np.ndarray:
    """Filter float ``[T]`` by a chain of sections, all starting from silence; returns float32 ``[T]``."""
    from scipy.signal import sosfilt

    return np.asarray(sosfilt(sections, audio.astype(np.float64))).astype(np.float32)


def _shelf(hz: float, gain_db: float, sample_rate: int, q: float, side: float) -> np.ndarray:
    """Build the cookbook's low shelf (``side`` -1) or high shelf (+1), which differ in some signs."""
    cosine, alpha, a = _prewarped(hz, sample_rate, q, gain_db)
    above, below, root = a + 1, a - 1, 2 * math.sqrt(a) * alpha
    return _section(
        a * (above + side * below * cosine + root),
        -2 * side * a * (below + side * above * cosine),
        a * (above + side * below * cosine - root),
        above - side * below * cosine + root,
        2 * side * (below - side * above * cosine),
        above - side * below * cosine - root,
    )


def _prewarped(hz: float, sample_rate: int, q: float, gain_db: float = 0.0) -> tuple[float, float, float]:
    """Return the cookbook's cos(w0), alpha and A."""
    if not 0 < hz < sample_rate / 2:
        raise ValueError(f"a filter at {hz} Hz is not between 0 and half of {sample_rate} Hz")
    angle = 2 * math.pi * hz / sample_rate
    return math.cos(angle), math.sin(angle) / (2 * q), 10 ** (gain_db / 40)


def _section(*numbers: float) -> np.ndarray:
    """Build one section from b0, b1, b2, a0, a1, a2, divided by a0."""
    return np.array([numbers]) / numbers[3]
