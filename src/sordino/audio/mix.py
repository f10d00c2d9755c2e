"""Speech plus noise at an exact signal-to-noise ratio: pure functions of numbers drawn elsewhere.

The ratio is taken over the whole segment given, from mean powers, as in the VoiceBank-DEMAND and DNS corpora's own
mixing. The generator that draws ratios and levels lives in ``data``.
"""

from __future__ import annotations

import math

import numpy as np

SILENCE_DB = -65.0
"""A segment whose RMS is below this (dBFS) counts as silent: scaling it would only bring up its background."""

QUIET_DB = -40.0
"""A mixture below this (dBFS) is kept in 24 bits: in 16 it would leave a noise 40 dB under it less than 20 dB over the
steps."""

PEAK = 0.99
"""Mixtures whose peak would pass this are turned down as a whole."""


def rms_db(audio: np.ndarray) -> float:
    """Root mean square of ``audio`` in dB re full scale; minus infinity for silence."""
    power = float(np.mean(np.square(audio, dtype=np.float64))) if audio.size else 0.0
    return 10 * math.log10(power) if power > 0 else -math.inf


def mix(
    clean: np.ndarray, noise: np.ndarray, snr_db: float, level_db: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add noise to speech at a signal-to-noise ratio.

    Args:
        clean: float ``[T]``.
        noise: float ``[T]``.
        snr_db: ratio of the mean powers in dB. Not reachable where one of the two is silent (below
            ``SILENCE_DB``): the noise then keeps its own level.
        level_db: RMS of the mixture in dBFS; None keeps the speech at its own level.

    Returns:
        ``noisy, clean, noise``, float32 ``[T]`` each, with ``noisy = clean + noise``. A gain common to the three
        reaches the level and keeps the peaks of noisy and clean at or below ``PEAK``, so the ratio holds all the same.
    """
    noise = at_ratio(clean, noise, snr_db)
    gain = common_gain(clean + noise, clean, level_db)
    clean = (clean * gain).astype(np.float32)
    noise = (noise * gain).astype(np.float32)
    return clean + noise, clean, noise


def at_ratio(clean: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Scale ``noise`` [T] to ``snr_db`` below ``clean`` [T]; unchanged where one of the two is silent."""
    clean_db, noise_db = rms_db(clean), rms_db(noise)
    if min(clean_db, noise_db) < SILENCE_DB:
        return noise
    return noise * 10 ** ((clean_db - noise_db - snr_db) / 20)


def common_gain(noisy: np.ndarray, clean: np.ndarray, level_db: float | None) -> float:
    """Find the gain that brings ``noisy`` [T] to ``level_db`` (RMS in dBFS) and leaves both peaks within ``PEAK``."""
    gain = 1.0
    noisy_db = rms_db(noisy)
    if level_db is not None and noisy_db >= SILENCE_DB:
        gain = 10 ** ((level_db - noisy_db) / 20)
    peak = max(float(np.abs(noisy).max(initial=0.0)), float(np.abs(clean).max(initial=0.0)))
    return PEAK / peak if peak * gain > PEAK else gain


def clip(audio: np.ndarray, over_db: float) -> np.ndarray:
    """Clip float ``[T]`` at ``over_db`` below its peak, as a converter or preamplifier does that is driven too hard."""
    ceiling = float(np.abs(audio).max(initial=0.0)) * 10 ** (-over_db / 20)
    return np.clip(audio, -ceiling, ceiling)


def within_scale(*waves: np.ndarray) -> tuple[np.ndarray, ...]:
    """Turn down waves that belong together, all by one gain, where the peak of one passes full scale."""
    peak = max(float(np.abs(wave).max(initial=0.0)) for wave in waves)
    return waves if peak <= 1 else tuple(wave / np.float32(peak) for wave in waves)


def fit_noise(noise: np.ndarray, length: int, offset: int = 0) -> np.ndarray:
    """Cut ``length`` samples out of ``noise`` ``[T]`` from ``offset`` on, starting over where it ends."""
    if offset + length <= len(noise):
        return noise[offset : offset + length]
    return np.resize(np.roll(noise, -offset), length)
