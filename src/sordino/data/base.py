"""What a source of training data is, and the two sequences that every source is made of.

A **Source** has a typed constructor (its signature is the recipe's schema), a ``name``, a ``sample_rate`` in Hz, says
whether it is ``synthetic`` and for which of its training items it has clean references (``labels``: all, some or
none), and hands out three things:

* ``train(seed)``: :class:`Segments` of one fixed length, asked for by ``(epoch, index)``;
* ``valid()`` and ``test()``: whole recordings with their references, lazily read, the same ones every time.

Randomness is drawn, then done: an item is a pure function of (seed, epoch, index), so that a resumed run sees exactly
what an uninterrupted one would have seen, whatever the number of worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, overload, runtime_checkable

import numpy as np

from sordino.types import Item

Damaged = Literal["refuse", "skip"]
"""What to do about a recording that cannot be read: stop with an error, or report it and go on without it."""


@runtime_checkable
class Source(Protocol):
    """The contract of everything in ``data.SOURCES``."""

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


class Segments:
    """Training items of one length; what torch calls a map-style dataset, its keys being ``(epoch, index)``.

    Args:
        length: items per epoch.
        seed: of the run.
        draw: makes the item of an index from a generator that belongs to (seed, epoch, index) alone. A bound method
            of the source, so that worker processes can be sent it.
        draws: epochs after which the same items come again; none never repeats.
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


def order(length: int, seed: int, epoch: int) -> list[int]:
    """The indices of an epoch in the order in which training asks for them: shuffled by (seed, epoch)."""
    return np.random.default_rng([seed, epoch]).permutation(length).tolist()


class Lazy(Sequence[Item]):
    """A sequence whose items are made when asked for: ``make(index)``."""

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
            return Lazy(len(chosen), lambda position: self.make(chosen[position]))
        return self.make(range(self.length)[index])


def pad(audio: np.ndarray, length: int) -> np.ndarray:
    """Zero-pad float32 ``[T]`` at its end to ``length`` samples, or cut it there."""
    if len(audio) >= length:
        return audio[:length]
    return np.concatenate([audio, np.zeros(length - len(audio), dtype=audio.dtype)])
