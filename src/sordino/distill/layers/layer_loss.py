"""Methods that compare the outputs of whole layers, pair by pair: what they share, and no paper of its own.

The loss of such a method is the sum over pairs of layers of a distance between two features. It says here which layers
make a pair and how two features come onto one grid; each paper's file says what the distance is. Features are matched
by position (``positions.py``) before anything else happens to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from sordino.distill.base import Method
from sordino.distill.layers.pairing import layer_pairs
from sordino.distill.layers.positions import match, match_views
from sordino.distill.layers.resize import alike, resample_time, resize_planes
from sordino.errors import InputError
from sordino.types import Batch, Tap, View

Side = Literal["both", "encoder", "decoder"]


def aligned(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Two features of the same samples on the grid of the first, [B,C,N] and [B,C',N] or [B,C,N,F] and [B,C',N,F].

    The second is brought to the first's frames and, where both have frequencies, to its frequencies. Where only one has
    them they become channels of it. Channels stay as many as they were.
    """
    ours, theirs = alike([ours, theirs])
    if ours.ndim == 4:
        return ours, resize_planes(theirs, *ours.shape[2:])
    return ours, resample_time(theirs, ours.shape[-1])


def pointwise(module: nn.Module, feature: Tensor) -> Tensor:
    """A module of [B,C,N] applied at every point of [B,C,N] or [B,C,N,F]; it must not mix points.

    Its output has the precision of ``feature``, even if autocast ran the module in half of it.
    """
    return module(feature.flatten(2)).unflatten(2, feature.shape[2:]).to(feature.dtype)


def to_channels(ours: Tensor, theirs: Tensor) -> nn.Module:
    """A learnt 1x1 convolution from the channels of one feature to those of another; nothing where they are as many."""
    here, there = ours.shape[1], theirs.shape[1]
    return nn.Identity() if here == there else nn.Conv1d(here, there, 1, bias=False)


class Paired(Method):
    """Base of the methods on pairs of layers; a paper's file adds ``distance``.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too, as MV-AT does; without
            it, layers of equal depth only, one to one.

    Attributes:
        one_span: whether all layers of both networks are cropped to the same samples, because layers of one network
            are compared or combined too; otherwise each pair is cropped for itself, and less is lost.

    Raises:
        ValueError: no such side.
    """

    one_span: ClassVar[bool] = False

    def __init__(self, side: Side = "both", dual_depth: bool = False) -> None:
        super().__init__()
        if side not in get_args(Side):
            raise ValueError(f"side is both, encoder or decoder, not {side!r}")
        self.side, self.dual_depth = side, dual_depth
        self.pairs: list[tuple[str, str]] = []

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        pairs = layer_pairs(student, teacher, ("",), self.dual_depth)
        self.pairs = [pair for pair in pairs if self.side in ("both", pair[0].partition(".")[0])]
        if not self.pairs:
            raise InputError(
                type(self).__name__,
                f"student and teacher share no {'layers' if self.side == 'both' else self.side} at any depth",
                hint="choose networks that declare such taps",
            )
        self.rows = [ours if ours == theirs else f"{ours} to {theirs}" for ours, theirs in self.pairs]
        self.read(student, teacher, *zip(*self.pairs, strict=True))

    def features(self, student: View, teacher: View) -> list[tuple[Tensor, Tensor]]:
        """The features of both networks, pair by pair, those of a pair for the same samples."""
        if self.one_span:
            student, teacher = match_views(student, teacher, self.student_places, self.teacher_places)
            return [(student.feats[ours], teacher.feats[theirs]) for ours, theirs in self.pairs]
        pairs = []
        for ours, theirs in self.pairs:
            places = self.student_places[ours], self.teacher_places[theirs]
            here, there = match((student.feats[ours], teacher.feats[theirs]), places)
            pairs.append((here, there))
        return pairs

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        pairs = enumerate(self.features(student, teacher))
        return torch.stack([self.distance(pair, ours, theirs) for pair, (ours, theirs) in pairs]).sum()

    def distance(self, pair: int, ours: Tensor, theirs: Tensor) -> Tensor:
        """The loss of one pair of features, a scalar; ``pair`` counts from 0."""
        raise TypeError(f"{type(self).__name__} is a base of methods: it has no distance")
