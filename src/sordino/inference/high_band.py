"""The gain of the band above the model's, which follows what the model takes out of its own top octave.

Noise below and above the edge of the model's band mostly comes and goes together, and so does speech: what a model for
16 kHz takes out between 4 and 8 kHz says how much of the band above 8 kHz is noise. Full-band codecs continue a signal
upwards by the envelope of the band below in the same way (spectral band replication: M. Dietz et al., "Spectral band
replication, a novel approach in audio coding", AES Convention 112, 2002). Torch-free.
"""

from __future__ import annotations

import numpy as np

STEP = 16
"""Samples of the model's rate between two values of the gain, 1 ms at 16 kHz."""
AHEAD = 42
"""Samples of the model's rate that a value of the gain may look ahead. Either resampler withholds at least
``AHEAD + STEP`` = 58 samples, so that the gain of every sample that it returns is known and costs no latency."""
WINDOW_S = 0.008
"""Seconds of sound in which energies are compared: short, so that the gain rises before an onset no more than ``AHEAD``
and falls quickly behind a word; about the period of a low voice, so that it does not follow single periods."""
LOWEST = 0.5
"""Where the band of the comparison begins, as a share of half the model's rate: its top octave. A wider band says less
about what lies above it, a narrower one holds less speech to go by."""
TINY = 1e-16
"""Added to both energies, so that digital silence has a gain of 1; far below the last bit of 16."""
AT_ONCE = 512
"""Windows that are computed together, which bounds the memory."""


class HighBandGain:
    """The gain of the high band of one signal, block by block, from noisy input and estimate at the model's rate.

    It is the root of the ratio of their energies in the model's top octave, at most 1: the high band is lowered by as
    many decibels as the octave. It is computed every ``STEP`` samples in a Hann window that ends ``AHEAD`` samples
    later, and drawn as straight lines between. The cuts between blocks change nothing.

    Args:
        model_rate: Hz of what ``feed`` takes.
        sample_rate: Hz at which ``take`` returns the gain, above ``model_rate``.
        channels: C; each has its own gain.
    """

    def __init__(self, model_rate: int, sample_rate: int, channels: int) -> None:
        length = 2 * round(WINDOW_S * model_rate / 2)
        self._taper = np.hanning(length).astype(np.float32)
        self._band = slice(round(LOWEST * length / 2), None)  # bins
        self._recent = np.zeros((2, channels, max(length - STEP, 0)), np.float32)  # of noisy and estimate
        self._gains = np.zeros((channels, 0), np.float32)
        self._steps_per_sample = model_rate / (sample_rate * STEP)
        self._taken = self._forgotten = 0  # samples of the output, and steps before the first of ``_gains``

    def feed(self, noisy: np.ndarray, estimate: np.ndarray) -> None:
        """Take the next block of both, [C,n] of the same time."""
        self._recent = np.concatenate([self._recent, np.stack([noisy, estimate])], axis=2)
        length, gains = len(self._taper), [self._gains]
        while (ready := (self._recent.shape[2] - length) // STEP + 1) > 0:
            ready = min(ready, AT_ONCE)
            windows = np.lib.stride_tricks.sliding_window_view(self._recent, length, axis=2)
            spectra = np.fft.rfft(windows[:, :, : ready * STEP : STEP] * self._taper)[..., self._band]
            before, after = np.square(np.abs(spectra)).sum(axis=-1) + TINY
            gains.append(np.sqrt(np.minimum(after / before, 1)))
            self._recent = self._recent[:, :, ready * STEP :]
        self._gains = np.concatenate(gains, axis=1, dtype=np.float32)

    def finish(self) -> None:
        """End the signal: silence completes the last windows."""
        silence = np.zeros((len(self._gains), STEP + AHEAD), np.float32)
        self.feed(silence, silence)

    def take(self, length: int) -> np.ndarray:
        """Return the gain of the next ``length`` samples of the output, [C,length]."""
        if not length:
            return self._gains[:, :0]
        # Value n holds ``AHEAD`` samples before the end of step n.
        first = AHEAD / STEP - 1 - self._forgotten
        at = first + np.arange(self._taken, self._taken + length) * self._steps_per_sample
        steps = np.arange(self._gains.shape[1])
        gain = np.stack([np.interp(at, steps, of_channel) for of_channel in self._gains])
        self._taken += length
        past = min(max(int(at[-1]), 0), len(steps) - 1)
        self._gains, self._forgotten = self._gains[:, past:], self._forgotten + past
        return gain.astype(np.float32)
