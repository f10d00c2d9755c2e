"""Several models as one: the mean of their estimates, of whole recordings or block by block.

Their estimates lie at the same samples, as every model's delay is taken off where it is opened. Members at another rate
than the mean are resampled there and back. The mean works at the lowest rate of its members: in a band
that only some of them estimate, part of the noise would remain.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm
from typing import Any

import numpy as np

from sordino.errors import InputError
from sordino.inference.blend import Blend
from sordino.inference.contracts import Engine, Process
from sordino.inference.pipeline import SampleQueue, StreamPipeline, run_step

LONGEST_HOP_S = 0.25
"""Longest hop of a mean in seconds: after that time the hops of all members end together."""


class MeanProcess:
    """A ``Process`` that gives one signal to several.

    Args:
        name: of the mean.
        sample_rate: Hz of the mean.
        channels: of the signal.
        processes: those of the members, fresh.
    """

    def __init__(self, name: str, sample_rate: int, channels: int, processes: Sequence[Process]) -> None:
        self.name, self.sample_rate = name, sample_rate
        blend = Blend(high_band="drop")  # there is none at the lowest rate, but that of noise
        self._lines = [StreamPipeline(process, sample_rate, channels, blend) for process in processes]
        self._ready = [SampleQueue(channels) for _ in processes]

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block [C,n]; return the mean of what all members have ready."""
        return self._mean([line.feed(audio) for line in self._lines])

    def flush(self) -> np.ndarray:
        """Return the rest of the mean; nothing may be fed afterwards."""
        return self._mean([line.flush() for line in self._lines])

    def _mean(self, estimates: Sequence[np.ndarray]) -> np.ndarray:
        for queue, estimate in zip(self._ready, estimates, strict=True):
            queue.put(estimate)
        length = min(map(len, self._ready))
        return np.stack([queue.take(length) for queue in self._ready]).mean(axis=0)


class MeanEngine:
    """An ``Engine`` of several: a block is whole hops of all of them, and those that are early wait for the latest.

    Args:
        name: name to show.
        engines: those of the members.

    Raises:
        InputError: they cannot stream together.
    """

    def __init__(self, name: str, engines: Sequence[Engine]) -> None:
        why = apart(engines)
        if why:
            raise InputError(name, f"cannot run block by block: {why}", "members that stream together")
        self.name, self.sample_rate, self._engines = name, engines[0].sample_rate, list(engines)
        self.hop = lcm(*(engine.hop for engine in engines))
        self.delay = max(engine.delay for engine in engines)

    def start(self, channels: int) -> list[tuple[Any, np.ndarray]]:
        """Return the state of each member, and the silence by which it waits."""
        state = []
        for engine in self._engines:
            waiting = np.zeros((channels, self.delay - engine.delay), np.float32)
            state.append((engine.start(channels), waiting))
        return state

    def step(self, block: np.ndarray, state: list[tuple[Any, np.ndarray]]) -> tuple[np.ndarray, Any]:
        """Enhance float32 [C, k hop]; see ``Engine.step``."""
        length = block.shape[1]
        total, after = np.zeros_like(block), []
        for engine, (own, waiting) in zip(self._engines, state, strict=True):
            estimate, own = run_step(engine, block, own)
            line = np.concatenate([waiting, estimate], axis=1)
            total += line[:, :length]
            # A copy, as a view would keep the whole line in memory.
            after.append((own, line[:, length:].copy()))
        return total / len(self._engines), after


def apart(engines: Sequence[Engine | None]) -> str:
    """Return why these members cannot stream together; empty where they can."""
    known = [engine for engine in engines if engine is not None]
    if len(known) < len(engines):
        return "a member takes a whole recording"
    rates = sorted({engine.sample_rate for engine in known})
    if len(rates) > 1:
        return f"its members work at {' and '.join(map(str, rates))} Hz"
    hop_s = lcm(*(engine.hop for engine in known)) / rates[0]
    if hop_s <= LONGEST_HOP_S:
        return ""
    hops = ", ".join(str(engine.hop) for engine in known)
    return f"hops of {hops} samples end together only every {hop_s:.2f} s"
