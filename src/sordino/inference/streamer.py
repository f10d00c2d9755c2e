"""Pieces of sound of any length in, what is ready of the estimate out; nothing is lost, doubled or changed."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sordino.audio.pcm import from_float, to_float
from sordino.errors import InputError
from sordino.inference.engine import open_engine
from sordino.inference.pipeline import HighBand, Stepper, StreamPipeline

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
    ``sordino.enhance`` gives on it (up to ``low_delay``). One object serves one stream at a time, in one thread.

    Args:
        model: None for the default student; the name of a shipped one that streams, an ONNX file with its stream's
            graph beside it, a checkpoint (which needs ``sordino[train]``) or network; or an ``Engine``.
        sample_rate: Hz of the sound that is fed; at another rate than the model's it is resampled there and back.
        channels: fed together and enhanced one by one.
        low_delay: resample by short filters, whose sound differs from that of ``sordino.enhance`` above 0.9 of the
            lower rate's half, but which hold back milliseconds rather than tenths of a second.
        threads: of the arithmetic; 1 is fastest for the small blocks of a stream, and what ONNX gets unless given.
            Torch has one number for the whole process, which is left alone unless given.
        strength_db: the noise is lowered by at most that much; see ``sordino.enhance``.
        high_band: ``keep`` hands what lies above half the model's rate on as it came; ``drop`` leaves it out.

    Raises:
        InputError: no such model, one that cannot stream, a rate or number of channels below 1, or a strength below 0.
    """

    def __init__(
        self,
        model: Any = None,
        sample_rate: int = 16000,
        channels: int = 1,
        *,
        low_delay: bool = False,
        threads: int | None = None,
        strength_db: float | None = None,
        high_band: HighBand = "drop",
    ) -> None:
        for name, value in (("sample_rate", sample_rate), ("channels", channels)):
            if value < 1:
                raise InputError(name, str(value), "a number above 0")
        self.sample_rate, self.channels = sample_rate, channels
        self._begin = partial(
            StreamPipeline,
            sample_rate=sample_rate,
            channels=channels,
            strength_db=strength_db,
            high_band=high_band,
            low_delay=low_delay,
        )
        self._engine = open_engine(model, threads)
        # The first pass of a network is slow, of one hop and of several, and a stream should not have to wait for it.
        for hops in (1, 2):
            silence = np.zeros((channels, hops * self._engine.hop), np.float32)
            self._engine.step(silence, self._engine.start(channels))
        self.reset()

    @property
    def latency_s(self) -> float:
        """Algorithmic latency: how long after a sample was fed its estimate comes out at the latest, with no time
        spent on computing, if blocks are fed hop by hop. Longer blocks have to be waited for as well."""
        network_s = (self._engine.hop + self._engine.delay) / self._engine.sample_rate
        return network_s + self._passage.resampling_s

    @property
    def timing(self) -> Timing | None:
        """Time spent in ``feed``, or None before the first block."""
        if not self._spent_s:
            return None
        p50, p95, p99, most = (np.percentile(self._spent_s, (50, 95, 99, 100)) * 1000).tolist()
        return Timing(self._blocks, p50, p95, p99, most, self._busy_s / (self._fed / self.sample_rate))

    def reset(self) -> None:
        """Begin another stream: all that was heard, and its timing, is forgotten."""
        self._passage = self._begin(Stepper(self._engine, self.channels))
        self._fed = 0
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
            raise InputError("streamer", "the stream was flushed", hint="call reset() to begin another")
        mono = block.ndim == 1 and self.channels == 1
        if not mono and (block.ndim != 2 or len(block) != self.channels):
            expected = f"[{self.channels}, samples]" + " or [samples]" * (self.channels == 1)
            raise InputError("block", f"an array of shape {block.shape}", expected)
        audio = np.atleast_2d(to_float(block, "block"))
        self._form = block[..., :0].copy()
        self._fed += audio.shape[1]
        ready = self._as_fed(self._passage.feed(audio))
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
        return self._as_fed(self._passage.flush())

    def _as_fed(self, audio: np.ndarray) -> np.ndarray:
        return from_float(audio, self._form.dtype).reshape(*self._form.shape[:-1], -1)
