"""Mix speech and noise at an exact signal-to-noise ratio.

The ratio is that of the mean powers over the whole segment given, as the VoiceBank-DEMAND and DNS corpora were mixed.
All are pure functions; ratios and levels are drawn at random in ``data``.
"""

from __future__ import annotations

import math

import numpy as np

SILENCE_DB = -65.0
"""RMS in dBFS below which a segment counts as silent: scaling it would only amplify its background noise."""

QUIET_DB = -40.0
"""RMS in dBFS below which a mixture is stored in 24 bits: in 16, a noise 40 dB below it would lie less than 20 dB
above the quantisation steps."""

PEAK = 0.99
"""Mixtures whose peak would exceed this are attenuated as a whole."""


def rms_db(audio: np.ndarray) -> float:
    """Return the root mean square of ``audio`` in dB re full scale; minus infinity for silence."""
    power = float(np.mean(np.square(audio, dtype=np.float64))) if audio.size else 0.0
    return 10 * math.log10(power) if power > 0 else -math.inf


def mix(
    clean: np.ndarray, noise: np.ndarray, snr_db: float, level_db: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add noise to speech at a signal-to-noise ratio.

    Args:
        clean: float ``[T]``.
        noise: float ``[T]``.
        snr_db: ratio of the mean powers in dB. If one of the two is silent (below ``SILENCE_DB``), the noise keeps
            its own level instead.
        level_db: RMS of the mixture in dBFS; None keeps the speech at its own level.

    Returns:
        ``noisy, clean, noise``, float32 ``[T]`` each, with ``noisy = clean + noise``. One common gain sets the level
        and keeps the peaks of noisy and clean at or below ``PEAK``, so it does not change the ratio.
    """
    noise = at_ratio(clean, noise, snr_db)
    gain = common_gain(clean + noise, clean, level_db)
    clean = (clean * gain).astype(np.float32)
    noise = (noise * gain).astype(np.float32)
    return clean + noise, clean, noise


def at_ratio(clean: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Scale ``noise`` [T] to ``snr_db`` below ``clean`` [T]; returns it unchanged if one of the two is silent."""
    clean_db, noise_db = rms_db(clean), rms_db(noise)
    if min(clean_db, noise_db) < SILENCE_DB:
        return noise
    return noise * 10 ** ((clean_db - noise_db - snr_db) / 20)


def common_gain(noisy: np.ndarray, clean: np.ndarray, level_db: float | None) -> float:
    """Return the gain that brings ``noisy`` [T] to ``level_db`` (RMS in dBFS) and keeps both peaks within ``PEAK``."""
    gain = 1.0
    noisy_db = rms_db(noisy)
    if level_db is not None and noisy_db >= SILENCE_DB:
        gain = 10 ** ((level_db - noisy_db) / 20)
    peak = _peak(noisy, clean)
    return PEAK / peak if peak * gain > PEAK else gain


def clip(audio: np.ndarray, over_db: float) -> np.ndarray:
    """Clip float ``[T]`` at ``over_db`` below its peak, as an overdriven converter or preamplifier does."""
    ceiling = _peak(audio) * 10 ** (-over_db / 20)
    return np.clip(audio, -ceiling, ceiling)


def within_scale(*waves: np.ndarray) -> tuple[np.ndarray, ...]:
    """Attenuate waves that belong together by one common gain, if the peak of one of them exceeds full scale."""
    peak = _peak(*waves)
    return waves if peak <= 1 else tuple(wave / np.float32(peak) for wave in waves)


def fitting_gain(*waves: np.ndarray) -> float:
    """Return the factor, 1 at most, by which none of these waves of any shape exceeds full scale."""
    return 1 / max(_peak(*waves), 1.0)


def fit_noise(noise: np.ndarray, length: int, offset: int = 0) -> np.ndarray:
    """Return ``length`` samples of ``noise`` ``[T]`` from sample ``offset`` on; the noise is repeated as needed."""
    if offset + length <= len(noise):
        return noise[offset : offset + length]
    return np.resize(np.roll(noise, -offset), length)


def _peak(*waves: np.ndarray) -> float:
    """Return the largest magnitude in these waves of any shape; 0 of none."""
    return max((float(np.abs(wave).max(initial=0.0)) for wave in waves), default=0.0)
