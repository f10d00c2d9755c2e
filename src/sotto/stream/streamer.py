"""Pieces of sound of any length in, what is ready of the estimate out; nothing is lost, doubled or changed."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from sotto.audio.pcm import from_float, to_float
from sotto.audio.resampling import open_resampler
from sotto.errors import InputError
from sotto.stream.engine import open_engine

STEP_S = 1.0
"""The most that goes through the network at once, so that its memory does not grow with what is fed."""
REMEMBERED = 10_000
"""Blocks whose times are kept."""


@dataclass(frozen=True)
class Timing:
    """How long the blocks fed so far took, in milliseconds; the percentiles and the maximum over the last 10,000."""

    blocks: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    real_time_factor: float
    """Seconds of work per second of sound, over all blocks; a stream keeps up below 1."""


class Streamer:
    """Take the noise out of sound as it comes.

    All that ``feed`` returned and ``flush`` returns at the end is, put together, as long as all that was fed, and what
    ``sotto.enhance`` gives on it (up to ``low_delay``). One object serves one stream at a time, in one thread.

    Args:
        model: None for the default student; the name of a shipped one that streams, an ONNX file with its stream's
            graph beside it, a checkpoint (which needs ``sotto[train]``) or network; or an ``Engine``.
        sample_rate: Hz of the sound that is fed; at another rate than the model's it is resampled there and back.
        channels: fed together and enhanced one by one.
        low_delay: resample by short filters, whose sound differs from that of ``sotto.enhance`` above 0.9 of the
            lower rate's half, but which hold back milliseconds rather than tenths of a second.
        threads: of the arithmetic; 1 is fastest for the small blocks of a stream, and what ONNX gets unless given.
            Torch has one number for the whole process, which is left alone unless given.

    Raises:
        InputError: no such model, one that cannot stream, or a rate or number of channels below 1.
    """

    def __init__(
        self,
        model: Any = None,
        sample_rate: int = 16000,
        channels: int = 1,
        *,
        low_delay: bool = False,
        threads: int | None = None,
    ) -> None:
        for name, value in (("sample_rate", sample_rate), ("channels", channels)):
            if value < 1:
                raise InputError(name, str(value), "a number above 0")
        self.sample_rate, self.channels, self._low_delay = sample_rate, channels, low_delay
        self._engine = open_engine(model, threads)
        # The first pass of a network is slow, and a stream should not have to wait for it.
        silence = np.zeros((channels, self._engine.hop), np.float32)
        self._engine.step(silence, self._engine.start(channels))
        self.reset()

    @property
    def latency_s(self) -> float:
        """Algorithmic latency: how long after a sample was fed its estimate comes out at the latest, with no time
        spent on computing, if blocks are fed hop by hop. Longer blocks have to be waited for as well."""
        network_s = (self._engine.hop + self._engine.delay) / self._engine.sample_rate
        return self._inward.delay_s + network_s + self._outward.delay_s

    @property
    def timing(self) -> Timing | None:
        """Time spent in ``feed``, or None before the first block."""
        if not self._spent_s:
            return None
        p50, p95, p99, most = (np.percentile(self._spent_s, (50, 95, 99, 100)) * 1000).tolist()
        return Timing(self._blocks, p50, p95, p99, most, self._busy_s / (self._fed / self.sample_rate))

    def reset(self) -> None:
        """Begin another stream: all that was heard, and its timing, is forgotten."""
        engine = self._engine
        self._inward = open_resampler(self.sample_rate, engine.sample_rate, self.channels, self._low_delay)
        self._outward = open_resampler(engine.sample_rate, self.sample_rate, self.channels, self._low_delay)
        self._state = engine.start(self.channels)
        self._waiting = np.zeros((self.channels, 0), np.float32)  # less than a hop, at the model's rate
        self._to_drop = engine.delay
        self._heard = self._said = 0  # samples of the signal and of its estimate, at the model's rate
        self._fed = self._returned = 0  # and at the stream's own
        self._form = np.zeros(0 if self.channels == 1 else (self.channels, 0), np.float32)
        self._closed = False
        self._spent_s: deque[float] = deque(maxlen=REMEMBERED)
        self._busy_s, self._blocks = 0.0, 0

    def feed(self, block: np.ndarray) -> np.ndarray:
        """Take the next block and return what is ready, which may be nothing.

        Args:
            block: [C,n], or [n] of one channel, n from 0; floating point with full scale at 1, or int16.

        Returns:
            [C,m] or [m], as fed, of the type that was fed.

        Raises:
            InputError: not audio, another number of channels, or a stream that was flushed. The stream stays as it was.
        """
        began = time.perf_counter()
        block = np.asarray(block)
        if self._closed:
            raise InputError("streamer", "the stream was flushed", do="call reset() to begin another")
        mono = block.ndim == 1 and self.channels == 1
        if not mono and (block.ndim != 2 or len(block) != self.channels):
            expected = f"[{self.channels}, samples]" + " or [samples]" * (self.channels == 1)
            raise InputError("block", f"an array of shape {block.shape}", expected)
        audio = np.atleast_2d(to_float(block, "block"))
        self._form = block[..., :0].copy()
        self._fed += audio.shape[1]
        ready = self._outward.feed(self._advance(self._inward.feed(audio)))
        self._returned += ready.shape[1]
        ready = self._as_fed(ready)
        if block.size:
            spent_s = time.perf_counter() - began
            self._spent_s.append(spent_s)
            self._busy_s += spent_s
            self._blocks += 1
        return ready

    def flush(self) -> np.ndarray:
        """End the stream and return the rest of it, in the form of the last block; once flushed, nothing is left."""
        if self._closed:
            return self._as_fed(np.zeros((self.channels, 0), np.float32))
        self._closed = True
        engine, rest = self._engine, self._inward.flush()
        # Silence behind the signal pushes out the estimate of its end, in whole hops.
        heard = self._heard + rest.shape[1]
        silence = engine.delay + -(heard + engine.delay) % engine.hop
        said = self._said
        estimate = self._advance(np.pad(rest, ((0, 0), (0, silence))))[:, : heard - said]
        tail = np.concatenate([self._outward.feed(estimate), self._outward.flush()], axis=1)
        # Resampling there and back may be a sample off.
        left = self._fed - self._returned
        return self._as_fed(np.pad(tail, ((0, 0), (0, max(left - tail.shape[1], 0))))[:, :left])

    def _advance(self, audio: np.ndarray) -> np.ndarray:
        """Put [C,n] at the model's rate behind what waits, and all whole hops of it through the network."""
        engine = self._engine
        self._heard += audio.shape[1]
        waiting = np.concatenate([self._waiting, audio], axis=1)
        whole = waiting.shape[1] - waiting.shape[1] % engine.hop
        at_once = max(round(STEP_S * engine.sample_rate) // engine.hop, 1) * engine.hop
        parts = [waiting[:, :0]]
        for start in range(0, whole, at_once):
            part, self._state = engine.step(waiting[:, start : min(start + at_once, whole)], self._state)
            parts.append(part)
        self._waiting = waiting[:, whole:]
        estimate = np.concatenate(parts, axis=1)
        dropped = min(self._to_drop, estimate.shape[1])
        self._to_drop -= dropped
        self._said += estimate.shape[1] - dropped
        return estimate[:, dropped:]

    def _as_fed(self, audio: np.ndarray) -> np.ndarray:
        return from_float(audio, self._form.dtype).reshape(*self._form.shape[:-1], -1)
