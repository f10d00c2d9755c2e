"""The types that all parts share: Item, Batch, View, Tap and Terms.

Axis legend, used in every signature: B batch, C channels, T samples, N frames (or the length of a feature),
F frequency bins, L layers. ``sample_rate`` is in Hz; a duration carries its unit in its name (``segment_s``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from sordino.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, device

Terms = dict[str, "Tensor"]
"""Terms of an objective, ``{"loss/weighted": scalar, "kd/mvat": scalar}``, by the names that log and recipe use."""


class Item(NamedTuple):
    """One recording, or one segment of it, as a data source returns it: float32 mono arrays at one sample rate."""

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
    """Several items stacked for training, zero-padded to the longest."""

    noisy: Tensor
    """[B,T]"""
    clean: Tensor | None
    """[B,T], or None when no item has a clean reference (label-free distillation)."""
    lengths: Tensor
    """[B], samples before the zero padding."""
    ids: Sequence[str] = ()
    has_clean: Tensor | None = None
    """[B], whether an item has a reference; None when all have one. The row of ``clean`` is zero where it has none."""

    @property
    def labelled(self) -> Tensor | None:
        """Indices of the items that have a clean reference; None when all have one."""
        if self.clean is None:
            return self.lengths.new_zeros(0)
        return None if self.has_clean is None else self.has_clean.nonzero().squeeze(1)

    @property
    def first(self) -> Batch:
        """The first item alone, with its reference if it has one."""
        clean = None if self.clean is None else self.clean[:1]
        has_clean = None if self.has_clean is None else self.has_clean[:1]
        return Batch(self.noisy[:1], clean, self.lengths[:1], self.ids[:1], has_clean)

    def part(self, rows: Tensor) -> Batch:
        """Return the items with the indices ``rows``, all of which have a clean reference."""
        ids = tuple(self.ids[int(row)] for row in rows) if self.ids else ()
        clean = None if self.clean is None else self.clean[rows]
        return Batch(self.noisy[rows], clean, self.lengths[rows], ids)

    def to(self, where: device) -> Batch:
        """Return the batch on another device."""
        noisy, lengths = self.noisy.to(where, non_blocking=True), self.lengths.to(where, non_blocking=True)
        clean = None if self.clean is None else self.clean.to(where, non_blocking=True)
        has_clean = None if self.has_clean is None else self.has_clean.to(where, non_blocking=True)
        return Batch(noisy, clean, lengths, self.ids, has_clean)


@dataclass(frozen=True)
class View:
    """The outputs of ONE network for one batch: its estimate, and the features at the taps that were observed."""

    wave: Tensor
    """[B,T], the estimate."""
    feats: dict[str, Tensor] = field(default_factory=dict)
    """Features by the name of their tap: [B,C,N] or [B,C,N,F]."""


AXES = ("BCN", "BNC", "BCNF", "BCFN", "BNFC")
"""Orders of axes that an output of a tapped module may have; ``BCFN`` is that of a conv2d on a torch.stft."""


@dataclass(frozen=True)
class Tap:
    """A place inside a network where its features can be read, and the position of their frames in the signal.

    Frame n covers the samples around ``offset + n * stride``, half a stride to either side.

    Raises:
        InputError: axes that are none of ``AXES``, or a stride that is not above 0.
    """

    path: str
    """The submodule whose output is read, for example ``encoder.2.attention.channel``."""
    axes: str = "BCN"
    """The axes of that output, one of ``AXES``; methods get them as BCN or BCNF."""
    stride: float = field(kw_only=True)
    """Samples of the input per frame; below 1 inside a network that runs above the sampling rate."""
    offset: float = field(kw_only=True)
    """The sample of the input at which frame 0 is centred; below 0 where that frame reaches before the signal."""

    def __post_init__(self) -> None:
        if self.axes not in AXES:
            raise InputError(f"the Tap of {self.path}", f"axes {self.axes!r}", f"one of {', '.join(AXES)}")
        if not self.stride > 0:
            raise InputError(f"the Tap of {self.path}", f"stride {self.stride:g}", "a number of samples above 0")


class Progress(Protocol):
    """Reports the progress of a task; all functions that run long accept one, which may be any function."""

    def __call__(self, task: str, done: int, total: int, numbers: Mapping[str, float], /) -> object:
        """Report that ``done`` of ``total`` steps of ``task`` are done.

        Args:
            task: name to show; several tasks may run at once.
            done: steps, from 0.
            total: steps, above 0.
            numbers: the latest figures by name, such as losses; often none.
        """
        ...


Status = Callable[[str], None]
"""Reports something that the user should know, in one line."""

Enhance = Callable[[np.ndarray], np.ndarray]
"""Noisy float32 [T] to its estimate [T]; some also take several of one length, [B,T] to [B,T]."""


def retitled(progress: Progress | None, title: str) -> Progress | None:
    """Return a progress that reports every task under another title; None for None."""
    if progress is None:
        return None
    return lambda _task, done, total, numbers: progress(title, done, total, numbers)
