"""The nouns that carry everything: Batch, View, Tap and Terms.

Axis legend, used in every signature: B batch, C channels, T samples, N frames (or the length of a feature),
F frequency bins, L layers. ``sample_rate`` is in Hz; a duration carries its unit in its name (``segment_s``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

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
    """[B,T], or None when the items have no clean reference (label-free distillation)."""
    lengths: Tensor
    """[B], samples before the zero padding."""
    ids: Sequence[str] = ()


@dataclass(frozen=True)
class View:
    """What ONE network shows of itself for one batch."""

    wave: Tensor
    """[B,T], the estimate."""
    feats: dict[str, Tensor] = field(default_factory=dict)
    """Tap name -> [B,C,N] or [B,C,N,F]."""


@dataclass(frozen=True)
class Tap:
    """A named place inside a network where its features can be read."""

    path: str
    """The submodule whose output is read, for example ``encoder.2.attention.channel``."""
    axes: str = "BCN"
    """The axes of that output."""
