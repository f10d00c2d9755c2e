"""The nouns that carry everything: Batch, View, Tap and Terms.

Axis legend, used in every signature: B batch, C channels, T samples, N frames (or the length of a feature),
F frequency bins, L layers. ``sample_rate`` is in Hz; a duration carries its unit in its name (``segment_s``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, device

Terms = dict[str, "Tensor"]
"""What an objective says: ``{"loss/weighted": scalar, "kd/mvat": scalar}``, by log tag and recipe weight."""


class Item(NamedTuple):
    """One recording, or one segment of it, as the data hands it out: float32 mono arrays at one sample rate."""

    noisy: np.ndarray
    """[T]"""
    clean: np.ndarray | None
    """[T], or None for a recording without a reference."""
    length: int
    """Samples before the zero padding."""
    id: str
    speaker: str = ""


@dataclass(frozen=True)
class Batch:
    """What data hands to training."""

    noisy: Tensor
    """[B,T]"""
    clean: Tensor | None
    """[B,T], or None when no item has a clean reference (label-free distillation)."""
    lengths: Tensor
    """[B], samples before the zero padding."""
    ids: Sequence[str] = ()
    has_clean: Tensor | None = None
    """[B], whether an item has a reference, its row of ``clean`` being zero where not; None when all have one."""

    @property
    def labelled(self) -> Tensor | None:
        """The indices of the items that have a clean reference; None when all have one."""
        if self.clean is None:
            return self.lengths.new_zeros(0)
        return None if self.has_clean is None else self.has_clean.nonzero().squeeze(1)

    def part(self, rows: Tensor) -> Batch:
        """The items ``rows``, all of which have a clean reference."""
        ids = tuple(self.ids[int(row)] for row in rows) if self.ids else ()
        clean = None if self.clean is None else self.clean[rows]
        return Batch(self.noisy[rows], clean, self.lengths[rows], ids)

    def to(self, where: device) -> Batch:
        """The batch on another device."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(where, non_blocking=True)

        clean, has_clean = (None if one is None else move(one) for one in (self.clean, self.has_clean))
        return Batch(move(self.noisy), clean, move(self.lengths), self.ids, has_clean)


@dataclass(frozen=True)
class View:
    """What ONE network shows of itself for one batch."""

    wave: Tensor
    """[B,T], the estimate."""
    feats: dict[str, Tensor] = field(default_factory=dict)
    """Tap name -> [B,C,N] or [B,C,N,F]."""


@dataclass(frozen=True)
class Tap:
    """A named place inside a network where its features can be read, and where in the signal its frames lie.

    Frame n stands for the samples around ``offset + n * stride``, half a stride to either side.
    """

    path: str
    """The submodule whose output is read, for example ``encoder.2.attention.channel``."""
    axes: str = "BCN"
    """The axes of that output."""
    stride: float = field(kw_only=True)
    """Samples of the input per frame; below 1 inside a network that runs above the sampling rate."""
    offset: float = field(kw_only=True)
    """The sample of the input at which frame 0 is centred; below 0 where that frame reaches before the signal."""


class Progress(Protocol):
    """Reports how far a task is; every function that takes long takes one, and a function of the user's will do."""

    def __call__(self, task: str, done: int, total: int, numbers: Mapping[str, float], /) -> object:
        """Report that ``done`` of ``total`` steps of ``task`` are done.

        Args:
            task: for people; several may be under way at once.
            done: steps, from 0.
            total: steps, above 0.
            numbers: the latest figures by name, such as losses; often none.
        """
        ...


Status = Callable[[str], None]
"""Reports something that a person should know, in one line."""


def retitled(progress: Progress | None, title: str) -> Progress | None:
    """Return a progress that reports every task under another title; None for None."""
    if progress is None:
        return None
    return lambda _task, done, total, numbers: progress(title, done, total, numbers)
