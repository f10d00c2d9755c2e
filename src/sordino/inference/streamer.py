"""A stream, block by block: ``sordino.Streamer`` takes blocks of any length and returns the estimate that is ready.

The estimate does not depend on the lengths of the blocks; at the model's rate it is that of ``sordino.enhance``. Work
is timed, as a stream has to keep up with its source, and a network's first passes, which are slow, are made before the
first block.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np

from sordino.audio.pcm import as_array, check_shape, from_float, to_float, whole_number, whole_rate
from sordino.errors import InputError
from sordino.inference.blend import Blend, HighBand
from sordino.inference.contracts import latency_s
from sordino.inference.engine import open_engine
from sordino.inference.pipeline import EngineProcess, StreamPipeline, run_step

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
    """Remove the noise from a signal block by block, while it arrives.

    The outputs of ``feed``, and of ``flush`` at the end, are together as long as the input. At the model's rate, or
    with ``low_delay=False``, they equal what ``sordino.enhance`` returns for it. One object serves one stream, in one
    thread, and cannot be copied or pickled. Several streams share one network: open it once with
    ``sordino.inference.engine.open_engine``, and give the ``Engine`` to a ``Streamer`` for each.

    Args:
        model: None for the default student; the name of a shipped one that streams, an ONNX file with its stream's
            graph beside it, a checkpoint (which needs ``sordino[train]``) or network; or an ``Engine``.
        sample_rate: Hz of the input; if it is not the model's, the signal is resampled to the model's rate and back.
        channels: number of channels, which are fed together and enhanced independently.
        low_delay: resample with short filters, which add a delay of milliseconds instead of tenths of a second; the
            output differs from that of ``sordino.enhance`` above 0.9 of half the lower rate. False uses the filters for
            files.
        threads: number of threads; 1 is fastest for the small blocks of a stream, and is the default with ONNX. Torch
            has one setting for the whole process, which changes only if a number is given. At most 1024.
        strength_db: the noise is lowered by at most this many dB; see ``sordino.enhance``.
        high_band: the band above half the model's sample rate: ``follow`` lowers it like the model's top octave,
            ``drop`` removes it, ``keep`` passes it on unchanged; see ``sordino.enhance``.

    Raises:
        InputError: no such model, a model that cannot stream, a rate or a number of channels or threads that is not a
            whole number, is below 1 or is far too large, or a strength that is not a number or is below 0.
    """

    def __init__(
        self,
        model: Any = None,
        sample_rate: int = 16000,
        channels: int = 1,
        *,
        low_delay: bool = True,
        threads: int | None = None,
        strength_db: float | None = None,
        high_band: HighBand = "follow",
    ) -> None:
        sample_rate, channels = whole_rate(sample_rate), whole_number(channels, "channels")
        check_shape("streamer", sample_rate, channels)
        self.sample_rate, self.channels = sample_rate, channels
        self._begin = partial(
            StreamPipeline,
            sample_rate=sample_rate,
            channels=channels,
            blend=Blend(strength_db, high_band),
            low_delay=low_delay,
        )
        self._engine = open_engine(model, threads)
        # A network's first pass over one hop is slow, and so is that over several; a stream should not wait for them.
        for hops in (1, 2):
            silence = np.zeros((channels, hops * self._engine.hop), np.float32)
            run_step(self._engine, silence, self._engine.start(channels))
        self.reset()

    def __reduce__(self) -> NoReturn:
        """Refuse: ``copy`` and ``pickle`` both ask here, and a shallow copy would feed the same stream.

        Raises:
            InputError: always.
        """
        hint = "make another Streamer for another stream; both may be given the same Engine"
        raise InputError("streamer", "cannot be copied or pickled", hint=hint)

    @property
    def latency_s(self) -> float:
        """Algorithmic latency: the longest time from a sample's input to its output if computing took no time and
        blocks were fed hop by hop. Longer blocks add the wait for their end."""
        return latency_s(self._engine) + self._pipeline.resampling_s

    @property
    def timing(self) -> Timing | None:
        """Time spent in ``feed``, or None before the first block."""
        if not self._spent_s:
            return None
        p50, p95, p99, most = (np.percentile(self._spent_s, (50, 95, 99, 100)) * 1000).tolist()
        return Timing(self._blocks, p50, p95, p99, most, self._busy_s / (self._fed / self.sample_rate))

    def reset(self) -> None:
        """Begin another stream: everything fed so far, and its timing, is forgotten."""
        self._pipeline = self._begin(EngineProcess(self._engine, self.channels))
        self._fed = 0
        # The form of the last block, in which the estimate is returned.
        self._mono, self._dtype = self.channels == 1, np.dtype(np.float32)
        self._closed = self._broken = False
        self._spent_s: deque[float] = deque(maxlen=REMEMBERED)
        self._busy_s, self._blocks = 0.0, 0

    def feed(self, block: np.ndarray) -> np.ndarray:
        """Take the next block and return the part of the estimate that is ready, which may be empty.

        Args:
            block: [C,n], or [n] of one channel, n from 0; floating point with full scale at 1, or int16.

        Returns:
            [C,m] or [m], as fed, of the type that was fed.

        Raises:
            InputError: no valid audio, another number of channels, or a stream that was already flushed. The stream is
                unchanged. If the model fails, as one that gives NaN does, its estimate of the block is lost, and the
                stream goes on only after ``reset``.
        """
        began = time.perf_counter()
        block = as_array(block, "block")
        if self._closed:
            raise InputError("streamer", "the stream was flushed", hint="call reset() to begin another")
        self._demand_whole()
        mono = block.ndim == 1 and self.channels == 1
        if not mono and (block.ndim != 2 or len(block) != self.channels):
            expected = f"[{self.channels}, samples]" + " or [samples]" * (self.channels == 1)
            raise InputError("block", f"an array of shape {block.shape}", expected)
        audio = to_float(block, "block")
        if mono:
            audio = audio.reshape(1, -1)
        self._mono, self._dtype = mono, block.dtype
        self._fed += audio.shape[1]
        ready = self._run(partial(self._pipeline.feed, audio))
        if block.size:
            spent_s = time.perf_counter() - began
            self._spent_s.append(spent_s)
            self._busy_s += spent_s
            self._blocks += 1
        return ready

    def flush(self) -> np.ndarray:
        """End the stream and return the rest of the estimate, in the form of the last block; a second call returns
        nothing more.

        Raises:
            InputError: the model fails, or failed before; see ``feed``.
        """
        self._demand_whole()
        if self._closed:
            return self._as_fed(np.zeros((self.channels, 0), np.float32))
        self._closed = True
        return self._run(self._pipeline.flush)

    def _demand_whole(self) -> None:
        """Refuse to go on after a failure: the noisy samples of that block are still queued, and its estimate is not,
        so that all that follows would be blended with another time."""
        if self._broken:
            raise InputError("streamer", "the model failed before", hint="call reset() to begin another stream")

    def _run(self, work: Callable[[], np.ndarray]) -> np.ndarray:
        """Return what the pipeline gives, in the form of the last block; an error in it breaks the stream."""
        try:
            return self._as_fed(work())
        except Exception:  # not Ctrl-C, after which a stream may still be flushed
            self._broken = True
            raise

    def _as_fed(self, audio: np.ndarray) -> np.ndarray:
        audio = from_float(audio, self._dtype)
        return audio[0] if self._mono else audio
