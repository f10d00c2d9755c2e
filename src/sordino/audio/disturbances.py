"""Disturbances that are added to noise: low-frequency rumble, mains hum, and short sounds.

All are pure functions; their random numbers are drawn in ``data``. Traffic, wind, handling and air conditioning put
most of their energy below 120 Hz, where recordings of noise that were high-passed or normalised have little. Mains
power puts 50 or 60 Hz and multiples of it into every badly shielded cable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sordino.audio.filters import high_pass, low_pass

LOW_RATE = 1000
"""Rate in Hz at which rumble is made before it is resampled: sixteen times fewer samples than at 16 kHz."""

FADE_S = 0.01
"""Seconds over which a short sound is faded in and out."""

# Extra samples at LOW_RATE on both sides, cut off at the end: filters settle in the first ones, and the resampling by
# FFT treats the signal as periodic, so its two ends leak into each other.
_MARGIN = 200


def rumble_samples(length: int, sample_rate: int) -> int:
    """Return the number of random numbers that :func:`rumble` needs for ``length`` samples."""
    return math.ceil(length * LOW_RATE / sample_rate) + 2 * _MARGIN


def rumble(white: np.ndarray, swell_db: np.ndarray, band_hz: tuple[float, float], sample_rate: int) -> np.ndarray:
    """Make low-frequency noise whose level varies slowly.

    Args:
        white: normal random numbers ``[rumble_samples(T)]``.
        swell_db: levels in dB, evenly spaced over the length, ``[K]``; linear in between.
        band_hz: lowest and highest frequency, up to 400 Hz.
        sample_rate: Hz of the result.

    Returns:
        float32, at least ``T`` samples, at an arbitrary level.
    """
    from scipy.signal import resample, sosfilt  # here, as in sordino.audio.filters

    cut = low_pass(band_hz[1], LOW_RATE)
    # The low-pass is applied twice, which makes 24 dB per octave.
    low = sosfilt(np.concatenate([high_pass(band_hz[0], LOW_RATE), cut, cut]), white)
    places = np.linspace(0, len(swell_db) - 1, len(low))
    low *= 10 ** (np.interp(places, np.arange(len(swell_db)), swell_db) / 20)
    high = np.asarray(resample(low.astype(np.float32), round(len(low) * sample_rate / LOW_RATE)))
    margin = _MARGIN * sample_rate // LOW_RATE
    return high[margin : len(high) - margin]


def hum(
    mains_hz: int, amplitudes: Sequence[float], phases: Sequence[float], length: int, sample_rate: int
) -> np.ndarray:
    """Make mains hum: harmonics of 50 or 60 Hz.

    Args:
        mains_hz: 50 or 60.
        amplitudes: amplitudes of the harmonics 1, 2, ...
        phases: phases of the harmonics in radians.
        length: samples.
        sample_rate: Hz.

    Returns:
        float32 ``[length]``.
    """
    # All harmonics repeat after this many samples, so one period is computed and then repeated.
    period = sample_rate // math.gcd(sample_rate, mains_hz)
    angle = 2 * math.pi * mains_hz * np.arange(period) / sample_rate
    cycle = np.zeros(period)
    for number, (amplitude, phase) in enumerate(zip(amplitudes, phases, strict=True), 1):
        cycle += amplitude * np.sin(number * angle + phase)
    return np.resize(cycle.astype(np.float32), length)


def loudest_part(audio: np.ndarray, length: int) -> np.ndarray:
    """Return the ``length`` consecutive samples of float ``[T]`` with the most energy; all of it if it is shorter."""
    if len(audio) <= length:
        return audio
    # Differences of a cumulative sum give the energy of every part at once.
    energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    first = int((energy[length:] - energy[:-length]).argmax())
    return audio[first : first + length]


def fade(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Fade float ``[T]`` in and out over ``FADE_S``, or half its length if that is shorter; returns float32 ``[T]``."""
    ramp = min(round(FADE_S * sample_rate), len(audio) // 2)
    faded = audio.astype(np.float32)
    rise = (0.5 - 0.5 * np.cos(math.pi * (np.arange(ramp) + 0.5) / max(ramp, 1))).astype(np.float32)
    faded[:ramp] *= rise
    faded[len(faded) - ramp :] *= rise[::-1]
    return faded


def place_copies(sound: np.ndarray, starts: Sequence[int], length: int) -> np.ndarray:
    """Add copies of a short sound to silence.

    Args:
        sound: float ``[S]``.
        starts: first sample of each copy; copies that overlap are summed, and what passes the end is cut.
        length: samples of the result.

    Returns:
        float32 ``[length]``.
    """
    placed = np.zeros(length, dtype=np.float32)
    for start in starts:
        piece = sound[: max(length - start, 0)]
        placed[start : start + len(piece)] += piece
    return placed
