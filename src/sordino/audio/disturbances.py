"""Disturbances below speech: rumble, mains hum, and short sounds laid over steady ones.

Pure functions of what was drawn elsewhere. Traffic, wind, handling and air conditioning put most of their energy below
120 Hz, where recordings of noise that were high-passed or normalised have little; mains put 50 or 60 Hz and multiples
of it into every badly shielded cable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.signal import resample, sosfilt

from sordino.audio.filters import high_pass, low_pass

LOW_RATE = 1000
"""Hz at which rumble is made before it is resampled: sixteen times fewer samples than at 16 kHz."""

FADE_S = 0.01
"""A short sound is faded in and out over this."""

_MARGIN = 50  # samples at LOW_RATE: filters settle in front, and what resampling wraps around is cut at both ends


def rumble_samples(length: int, sample_rate: int) -> int:
    """How many random numbers :func:`rumble` takes for ``length`` samples."""
    return math.ceil(length * LOW_RATE / sample_rate) + 2 * _MARGIN


def rumble(white: np.ndarray, swell_db: np.ndarray, band_hz: tuple[float, float], sample_rate: int) -> np.ndarray:
    """Make low-frequency noise whose level swells and ebbs.

    Args:
        white: normal random numbers ``[rumble_samples(T)]``.
        swell_db: levels in dB at even distances over the length, ``[K]``; straight lines in between.
        band_hz: lowest and highest frequency, below 400 Hz.
        sample_rate: Hz of the result.

    Returns:
        float32, at least ``T`` samples, at no particular level.
    """
    low = sosfilt(np.concatenate([high_pass(band_hz[0], LOW_RATE), *[low_pass(band_hz[1], LOW_RATE)] * 2]), white)
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
        amplitudes: of the harmonics 1, 2, ...
        phases: of the same, in radians.
        length: samples.
        sample_rate: Hz.

    Returns:
        float32 ``[T]``.
    """
    period = sample_rate // math.gcd(sample_rate, mains_hz)  # samples after which all harmonics begin again
    time = 2 * math.pi * mains_hz * np.arange(period) / sample_rate
    cycle = sum(
        amplitude * np.sin(number * time + phase)
        for number, (amplitude, phase) in enumerate(zip(amplitudes, phases, strict=True), 1)
    )
    return np.resize(np.asarray(cycle, dtype=np.float32), length)


def loudest(audio: np.ndarray, length: int) -> np.ndarray:
    """Cut out of float ``[T]`` the ``length`` samples with the most energy; all of it where it is shorter."""
    if len(audio) > length:
        energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
        first = int((energy[length:] - energy[:-length]).argmax())
        audio = audio[first : first + length]
    return audio


def fade(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Fade float ``[T]`` in and out over ``FADE_S``, or half its length where that is shorter."""
    ramp = min(round(FADE_S * sample_rate), len(audio) // 2)
    faded = audio.astype(np.float32)
    rise = (0.5 - 0.5 * np.cos(math.pi * (np.arange(ramp) + 0.5) / max(ramp, 1))).astype(np.float32)
    faded[:ramp] *= rise
    faded[len(faded) - ramp :] *= rise[::-1]
    return faded


def lay(sound: np.ndarray, places: Sequence[int], length: int) -> np.ndarray:
    """Lay copies of a short sound into ``length`` samples of silence, from each of ``places`` on; float32 ``[T]``."""
    laid = np.zeros(length, dtype=np.float32)
    for place in places:
        piece = sound[: max(length - place, 0)]
        laid[place : place + len(piece)] += piece
    return laid
