"""The contract of a source of training data, and the two kinds of sequences that a source returns.

A **Source** has a typed constructor (its signature is the recipe's schema), a ``name``, a ``sample_rate`` in Hz, a flag
whether it is ``synthetic``, and ``labels``: whether all, some or none of its training items have clean references. It
returns:

* ``train(seed)``: :class:`Segments` of one fixed length, with keys ``(epoch, index)``;
* ``valid()`` and ``test()``: whole recordings with their references, read when needed, always the same ones.

A training item is a pure function of (seed, epoch, index): all its random numbers come from a generator with these
three as the seed. So a resumed run gets exactly the items that an uninterrupted one would have got, whatever the number
of worker processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, overload, runtime_checkable

import numpy as np

from sordino.errors import InputError
from sordino.types import Item

Damaged = Literal["refuse", "skip"]
"""Treatment of a recording that cannot be read: stop with an error, or report it and continue without it."""


@runtime_checkable
class Source(Protocol):
    """Interface of every class in ``sordino.data.sources.SOURCES``."""

    @property
    def name(self) -> str: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def synthetic(self) -> bool: ...

    @property
    def labels(self) -> str: ...

    @property
    def segment_s(self) -> float: ...

    def train(self, seed: int) -> Segments: ...

    def valid(self) -> Sequence[Item]: ...

    def test(self) -> Sequence[Item]: ...


class RecordingPool(Protocol):
    """Interface of a set of recordings, on disk or in memory; see :class:`sordino.data.recordings.Recordings`."""

    lengths: np.ndarray

    def __len__(self) -> int: ...

    def read(self, index: int, start: int = 0, length: int | None = None) -> np.ndarray: ...

    def loop(self, index: int, offset: int, length: int) -> np.ndarray: ...


class Segments:
    """Training items of one length: a map-style dataset in torch's terms, with keys ``(epoch, index)``.

    Args:
        length: items per epoch.
        seed: seed of the run.
        draw: makes the item of an index from the generator of (seed, epoch, index). It must be picklable, because it
            is sent to worker processes.
        draws: number of epochs after which the same items are returned again; None never repeats.
    """

    def __init__(
        self, length: int, seed: int, draw: Callable[[np.random.Generator, int], Item], draws: int | None = None
    ) -> None:
        self.length, self.seed, self.draw, self.draws = length, seed, draw, draws

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, index = key
        if not 0 <= index < self.length:
            raise IndexError(f"item {index} of {self.length}")
        variant = epoch if self.draws is None else epoch % self.draws
        return self.draw(np.random.default_rng([self.seed, variant, index]), index)


def epoch_order(length: int, seed: int, epoch: int) -> list[int]:
    """Return the indices of an epoch in the order of training: shuffled by (seed, epoch)."""
    return np.random.default_rng([seed, epoch]).permutation(length).tolist()


class LazySequence(Sequence[Item]):
    """A sequence whose items are made by ``make(index)`` when they are accessed."""

    def __init__(self, length: int, make: Callable[[int], Item]) -> None:
        self.length, self.make = length, make

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            chosen = range(self.length)[index]
            return LazySequence(len(chosen), lambda position: self.make(chosen[position]))
        return self.make(range(self.length)[index])


def pad(audio: np.ndarray, length: int) -> np.ndarray:
    """Zero-pad float32 ``[T]`` at its end to ``length`` samples, or cut it to them."""
    if len(audio) >= length:
        return audio[:length]
    return np.concatenate([audio, np.zeros(length - len(audio), dtype=audio.dtype)])


LONGEST_S = 600.0
"""Seconds of the longest segment: a batch of longer ones fits no memory."""


def segment_samples(seconds: float, sample_rate: int) -> int:
    """Convert ``segment_s`` to samples; an InputError unless it is above 0 and at most ``LONGEST_S``."""
    length = count_samples("segment_s", seconds, sample_rate)
    if seconds > LONGEST_S:
        raise InputError("segment_s", f"{seconds:g} s", f"seconds, at most {LONGEST_S:g}")
    return length


def count_samples(name: str, seconds: float, sample_rate: int) -> int:
    """Convert the argument ``name`` from seconds to samples; an InputError unless it is above 0."""
    if not (math.isfinite(seconds) and round(seconds * sample_rate) > 0):
        raise InputError(name, f"{seconds} s", "a length above 0")
    return round(seconds * sample_rate)
