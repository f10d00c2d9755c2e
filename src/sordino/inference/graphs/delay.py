"""Measure by how many samples a network's output lags its input, and whether level and polarity are kept.

A delay is a silent trap: 10 ms left in take 48 dB of SI-SDR from an estimate and leave its PESQ nearly as it was. The
probe is the speech that ships with the package. Input and estimate are correlated over stretches of half a second, so
that a delay that drifts, or jumps, is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from sordino.assets import SPEECH
from sordino.audio import sound_files
from sordino.errors import InputError
from sordino.inference.graphs.passes import Unfinished
from sordino.types import Enhance

STRETCH_S, REACH_S, EARLY_S = 0.5, 0.15, 0.05
"""Length of a stretch, the longest delay that is looked for, and by how much an estimate may be early instead: that of
a network that leaves out the samples for which it has no past."""
SURE = 0.5
"""Stretches that correlate less with their input say nothing of the delay."""
TOLERANCE = 1
"""Samples by which the delays of stretches may differ."""
QUIETEST_DB, LOUDEST_DB = -10.0, 6.0
"""Gain of the estimate on clean speech, beyond which a network is not one that only takes noise out."""


@dataclass(frozen=True)
class Delay:
    """Result of the probe: the delay in samples, below 0 if the estimate is early, and the gain in dB on speech."""

    samples: int
    gain_db: float

    def __str__(self) -> str:
        """Return what was found, in words."""
        return f"delay {self.samples} samples, gain {self.gain_db:+.1f} dB on speech"

    def taken_off(self, run: Enhance) -> Enhance:
        """Return ``run`` with the delay compensated."""
        return partial(_shifted, run, self.samples) if self.samples else run


def measure_delay(run: Enhance, sample_rate: int, name: str, longest: int | None = None) -> Delay:
    """Run the probe through a network.

    Args:
        run: noisy float32 [T] to estimate [T], nothing compensated.
        sample_rate: Hz.
        name: for messages.
        longest: most samples to run; a network with a fixed length takes no more. None runs all of the speech.

    Raises:
        InputError: ``longest`` is too short to measure with; or the estimate does not resemble the speech, has inverted
            polarity, is much louder or quieter, is not finite, or has no constant delay.
    """
    speech = sound_files.read_mono(str(SPEECH), sample_rate)[-longest if longest else 0 :]
    stretch, reach, early = (round(seconds * sample_rate) for seconds in (STRETCH_S, REACH_S, EARLY_S))
    if len(speech) < stretch + reach:
        found = f"takes {longest} samples at once and keeps no state"
        raise InputError(name, found, f"a state, or {stretch + reach} samples and more")
    speech, estimate = _estimated(run, speech)
    if not np.isfinite(estimate).all():
        raise InputError(name, "gives NaN or infinite samples for clean speech", "a finite estimate")
    delays, signs, gains = _of_stretches(speech, estimate, stretch, reach, early)
    if not delays:
        found = "its estimate of clean speech does not resemble that speech"
        hint = f"a delay of more than {1000 * REACH_S:g} ms is not looked for"
        raise InputError(name, found, "a network that enhances", hint)
    delay = int(np.median(delays))
    if np.max(np.abs(np.asarray(delays) - delay)) > TOLERANCE:
        found = f"its estimate lags by {min(delays)} to {max(delays)} samples"
        raise InputError(name, found, "a constant delay", "streams that resample inside cannot be compensated")
    if np.median(signs) < 0:
        raise InputError(name, "its estimate has inverted polarity", "the polarity of the input")
    gain_db = 20 * np.log10(np.median(gains))
    if not QUIETEST_DB <= gain_db <= LOUDEST_DB:
        found = f"changes the level of clean speech by {gain_db:.1f} dB"
        raise InputError(name, found, f"{QUIETEST_DB:g} to {LOUDEST_DB:g} dB")
    return Delay(delay, float(gain_db))


def _of_stretches(
    speech: np.ndarray, estimate: np.ndarray, stretch: int, reach: int, early: int
) -> tuple[list[int], list[float], list[float]]:
    """Return delay, sign and gain of each stretch of the speech that its estimate resembles.

    Args:
        speech: clean, [T].
        estimate: of it, [T].
        stretch: samples of one.
        reach: the longest delay that is looked for, in samples.
        early: the same for an estimate that is ahead of the speech.
    """
    delays, signs, gains = [], [], []
    estimate = np.pad(estimate, (early, 0))
    for start in range(0, len(speech) - stretch - reach + 1, stretch):
        part = speech[start : start + stretch].astype(float)
        later = estimate[start : start + early + stretch + reach]
        if len(later) < early + stretch + reach:
            break
        lag, correlation, gain = _lag(part, later)
        if abs(correlation) >= SURE:
            delays.append(lag - early)
            signs.append(np.sign(correlation))
            gains.append(abs(gain))
    return delays, signs, gains


def _estimated(run: Enhance, speech: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the speech and its estimate; some graphs take whole frames alone, so a power of two is tried as well."""
    try:
        return speech, np.asarray(run(speech.astype(np.float32)), dtype=float)
    except Unfinished:
        raise
    except InputError:
        speech = speech[: 1 << (len(speech).bit_length() - 1)]
        return speech, np.asarray(run(speech.astype(np.float32)), dtype=float)


def _lag(part: np.ndarray, later: np.ndarray) -> tuple[int, float, float]:
    """Find where ``part`` lies in ``later``: the lag, the correlation there, and the gain."""
    # By Fourier transforms, as a direct correlation takes seconds at 48 kHz; no lag wraps around.
    spectrum = np.fft.rfft(later) * np.conj(np.fft.rfft(part, len(later)))
    products = np.fft.irfft(spectrum, len(later))[: len(later) - len(part) + 1]
    # Energy of every stretch of `later` that is as long as `part`.
    total = np.concatenate([[0.0], np.cumsum(later**2)])
    energy = total[len(part) :] - total[: -len(part)]
    scale = np.sqrt(np.maximum(energy * np.sum(part**2), 1e-20))
    correlations = products / scale
    lag = int(np.argmax(np.abs(correlations)))
    return lag, float(correlations[lag]), float(products[lag] / max(np.sum(part**2), 1e-20))


def _shifted(run: Enhance, delay: int, noisy: np.ndarray) -> np.ndarray:
    """Compensate the delay of an estimate, [T] or [B,T], with silence behind it, or before an early one."""
    silence = np.zeros_like(noisy[..., :1]).repeat(abs(delay), -1)
    if delay < 0:
        return run(np.concatenate([silence, noisy], axis=-1))[..., : noisy.shape[-1]]
    return run(np.concatenate([noisy, silence], axis=-1))[..., delay:]
