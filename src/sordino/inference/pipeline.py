"""One signal on its way through a model: resampled to the model's rate and back, block by block, and blended.

Two kinds of delay meet here. A network that runs block by block gives its estimate ``delay`` samples late, and
resampling holds samples back, by a number that depends on both rates. Nobody outside should see either: the output is
aligned with the input and just as long. So ``EngineProcess`` cuts the delay off at the start and pushes silence in at
the end, and ``StreamPipeline`` keeps the noisy input in a queue until the estimate of the same samples is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sordino.audio.pcm import as_estimate
from sordino.audio.resampling import open_resampler
from sordino.errors import InputError
from sordino.inference.blend import USUAL, Blend
from sordino.inference.contracts import Engine, Process
from sordino.inference.high_band import HighBandGain

STEP_S = 1.0
"""The most that goes through the network at once, so that its memory does not grow with the length of a block."""


def run_step(engine: Engine, block: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    """Run an engine over whole hops [C,k hop]; return as many samples of floating point, and the state after them.

    Raises:
        InputError: the engine gave another shape, which would shift all that follows, or another type.
    """
    given, state = engine.step(block, state)
    estimate = as_estimate(given, engine.name)
    if estimate.shape != block.shape:
        found = f"gave an array of shape {estimate.shape} for a block of {block.shape}"
        raise InputError(engine.name, found, "as many samples, [C,n]")
    return estimate, state


class EngineProcess:
    """A ``Process`` that runs an engine: blocks are joined into whole hops, and the engine's delay is removed.

    Args:
        engine: the network; it keeps no state, so that several signals may share it.
        channels: enhanced side by side.
    """

    def __init__(self, engine: Engine, channels: int) -> None:
        self.name, self.sample_rate = engine.name, engine.sample_rate
        self._engine, self._state = engine, engine.start(channels)
        self._incomplete = np.zeros((channels, 0), np.float32)  # less than a hop
        self._at_once = max(round(STEP_S * engine.sample_rate) // engine.hop, 1) * engine.hop
        self._to_drop = engine.delay
        self._fed = self._returned = 0

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block [C,n], and return the estimate of all whole hops so far."""
        engine = self._engine
        self._fed += audio.shape[1]
        # Always a copy: an engine may change its block in place, and others read ``audio`` after it.
        waiting = np.concatenate([self._incomplete, audio], axis=1) if self._incomplete.size else audio.copy()
        whole = waiting.shape[1] - waiting.shape[1] % engine.hop
        parts = []
        for start in range(0, whole, self._at_once):
            part, self._state = run_step(engine, waiting[:, start : min(start + self._at_once, whole)], self._state)
            parts.append(part)
        self._incomplete = waiting[:, whole:]
        # Copied even where there is one part, which the engine may use again.
        estimate = np.concatenate(parts, axis=1) if parts else waiting[:, :0]
        # The first samples stand for the time before the signal.
        dropped = min(self._to_drop, estimate.shape[1])
        self._to_drop -= dropped
        self._returned += estimate.shape[1] - dropped
        return estimate[:, dropped:]

    def flush(self) -> np.ndarray:
        """Return the rest: silence behind the signal, up to a whole hop, pushes out the estimate of its end."""
        engine, left = self._engine, self._fed - self._returned
        silence = engine.delay + -(self._fed + engine.delay) % engine.hop
        return self.feed(np.zeros((len(self._incomplete), silence), np.float32))[:, :left]


class StreamPipeline:
    """One signal through a model, float32 [C,n] at any rate.

    Args:
        process: the enhancement, fresh.
        sample_rate: Hz of the input; at another rate than the model's it is resampled there and back.
        channels: fed together.
        blend: what the output holds beside the estimate.
        low_delay: resample by short filters; see ``sordino.audio.resampling``.

    Attributes:
        sample_rate: Hz of the output.
        resampling_s: the most that resampling holds back, there and back.
    """

    def __init__(
        self,
        process: Process,
        sample_rate: int,
        channels: int,
        blend: Blend = USUAL,
        *,
        low_delay: bool = False,
    ) -> None:
        self.sample_rate = sample_rate if blend.keep_rate else process.sample_rate
        self._process, self._blend = process, blend
        follows = blend.high_band == "follow" and process.sample_rate < self.sample_rate
        self._inward = open_resampler(sample_rate, process.sample_rate, channels, low_delay)
        self._outward = open_resampler(process.sample_rate, self.sample_rate, channels * (1 + follows), low_delay)
        self.resampling_s = self._inward.delay_s + self._outward.delay_s
        self._estimated = 0  # samples at the model's rate
        self._due = self._returned = 0  # samples of the output: those that the input so far asks for, and those given
        # The high band must not pass through the resamplers, which would cut it off. So it stays in the noisy input,
        # and what goes out to the full rate and is added there is the change within the model's band alone. To follow
        # it, the noisy input within that band goes out as well: what it lacks of the noisy input is the high band.
        self._gain = HighBandGain(process.sample_rate, self.sample_rate, channels) if follows else None
        keeps_band = follows or (blend.high_band == "keep" and process.sample_rate != self.sample_rate)
        self._narrow = SampleQueue(channels) if keeps_band else None
        self._noisy = SampleQueue(channels) if blend.noisy_share or keeps_band else None

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block [C,n], and return the part of the output that is ready, [C,m]."""
        inner = self._inward.feed(audio)
        self._remember(audio, inner)
        change = self._change(inner, self._checked(self._process.feed(inner)))
        return self._mix(self._outward.feed(change))

    def flush(self) -> np.ndarray:
        """Return the rest; all output together is as long as all input."""
        inner = self._inward.flush()
        self._remember(inner[:, :0], inner)
        estimate = np.concatenate([self._process.feed(inner), self._process.flush()], axis=1)
        change = self._change(inner, self._checked(estimate))
        if self._gain is not None:
            self._gain.finish()
        tail = np.concatenate([self._outward.feed(change), self._outward.flush()], axis=1)
        # Resampling there and back may be a sample off.
        left = self._due - self._returned
        missing = max(left - tail.shape[1], 0)
        return self._mix(np.pad(tail, ((0, 0), (0, missing)))[:, :left])

    def _checked(self, estimate: np.ndarray) -> np.ndarray:
        """Return the next part of the estimate; NaN and infinite samples in it are an error that says where."""
        finite = np.isfinite(estimate)
        if not finite.all():
            at_s = (self._estimated + int(finite.all(axis=0).argmin())) / self._process.sample_rate
            hint = "its weights may have diverged, or half precision overflowed"
            raise InputError(self._process.name, f"gives NaN or infinite samples at {at_s:.2f} s", hint=hint)
        self._estimated += estimate.shape[1]
        return estimate

    def _remember(self, outer: np.ndarray, inner: np.ndarray) -> None:
        """Count and keep the noisy samples that the output will be blended with: of the input, or at the model's
        rate where the output has that."""
        noisy = outer if self._blend.keep_rate else inner
        self._due += noisy.shape[1]
        if self._noisy is not None:
            self._noisy.put(noisy)

    def _change(self, inner: np.ndarray, estimate: np.ndarray) -> np.ndarray:
        """Return the estimate, or where there is a high band its difference from the input, at the model's rate.

        Where the high band follows, the input itself is stacked below the difference, [2C,n].
        """
        if self._narrow is None:
            return estimate
        self._narrow.put(inner)
        noisy = self._narrow.take(estimate.shape[1])
        if self._gain is None:
            return estimate - noisy
        self._gain.feed(noisy, estimate)
        return np.concatenate([estimate - noisy, noisy])

    def _mix(self, ready: np.ndarray) -> np.ndarray:
        """Blend what is ready with the noisy samples of the same time."""
        length = ready.shape[1]
        self._returned += length
        if self._noisy is None:
            return ready
        share, noisy = self._blend.noisy_share, self._noisy.take(length)
        if self._narrow is None:
            return (1 - share) * ready + share * noisy
        # The change is estimate - noisy here: the same sum within the band, and the noisy input above it.
        change = ready[: len(noisy)]
        if self._gain is not None:
            change = change - (1 - self._gain.take(length)) * (noisy - ready[len(noisy) :])
        return (1 - share) * change + noisy


class SampleQueue:
    """Samples [C,n], put in at the end and taken from the start."""

    def __init__(self, channels: int) -> None:
        self._samples = np.zeros((channels, 0), np.float32)

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._samples.shape[1]

    def put(self, audio: np.ndarray) -> None:
        """Append ``audio``, [C,n]."""
        self._samples = np.concatenate([self._samples, audio], axis=1)

    def take(self, length: int) -> np.ndarray:
        """Remove and return the first ``length`` samples, or as many as there are."""
        taken, self._samples = self._samples[:, :length], self._samples[:, length:]
        return taken
