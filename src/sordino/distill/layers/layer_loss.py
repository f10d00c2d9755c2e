"""Base of the methods that compare the outputs of whole layers, pair by pair. It is from no paper.

The loss of such a method is the sum, over pairs of layers, of a distance between two features. This file determines
which layers make a pair and how two features get the same shape; each paper's file defines the distance. Features are
matched by position (``positions.py``) before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from sordino.distill.base import Method
from sordino.distill.layers.pairing import layer_pairs, nothing_shared
from sordino.distill.layers.positions import match, match_views
from sordino.distill.layers.resize import resample_time, resize_planes, same_axes
from sordino.types import Batch, Tap, View

Side = Literal["both", "encoder", "decoder"]


def check_side(side: Side) -> None:
    """Check which layers a method is asked to read.

    Raises:
        ValueError: no such side.
    """
    if side not in get_args(Side):
        raise ValueError(f"side is both, encoder or decoder, not {side!r}")


def layers_of(side: str) -> str:
    """Return what messages call the layers of a side."""
    return "layers" if side == "both" else side


def aligned(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Resize the teacher's feature to the frames and frequencies of the student's; both are of the same samples.

    Where only one of them has frequencies, these become its channels. Numbers of channels stay different.

    Returns:
        [B,C,N] and [B,C',N], or [B,C,N,F] and [B,C',N,F].
    """
    student, teacher = same_axes([student, teacher])
    if student.ndim == 4:
        return student, resize_planes(teacher, *student.shape[2:])
    return student, resample_time(teacher, student.shape[-1])


def pointwise(module: nn.Module, feature: Tensor) -> Tensor:
    """Apply a module of [B,C,N], which must not mix points, to every point of [B,C,N] or [B,C,N,F].

    The output has the precision of ``feature``, even if autocast ran the module in half precision.
    """
    return module(feature.flatten(2)).unflatten(2, feature.shape[2:]).to(feature.dtype)


def to_channels(student: Tensor, teacher: Tensor) -> nn.Module:
    """Create a 1x1 convolution from the student's channels to the teacher's; the identity where they are as many."""
    inputs, outputs = student.shape[1], teacher.shape[1]
    if inputs == outputs:
        return nn.Identity()
    return nn.Conv1d(inputs, outputs, 1, bias=False)


class LayerPairs(Method):
    """Base of the methods on pairs of layers; a paper's file adds ``distance``.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too, as MV-AT does; without
            it, layers of equal depth only, one to one.

    Attributes:
        one_span: whether all layers of both networks are cropped to the same samples. Methods that also compare or
            combine layers of one network need that; otherwise each pair is cropped by itself, which loses less.

    Raises:
        ValueError: no such side.
    """

    one_span: ClassVar[bool] = False

    def __init__(self, side: Side = "both", dual_depth: bool = False) -> None:
        super().__init__()
        check_side(side)
        self.side, self.dual_depth = side, dual_depth
        self.pairs: list[tuple[str, str]] = []

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        self.pairs = layer_pairs(student, teacher, ("",), self.dual_depth)
        if self.side != "both":
            self.pairs = [pair for pair in self.pairs if pair[0].partition(".")[0] == self.side]
        if not self.pairs:
            found = f"student and teacher share no {layers_of(self.side)} at any depth"
            wanted = "encoder.N or decoder.N" if self.side == "both" else f"{self.side}.N"
            raise nothing_shared(type(self).__name__, found, student, teacher, f"{wanted} in both")
        self.rows = []
        for first, second in self.pairs:
            self.rows.append(first if first == second else f"{first} to {second}")
        self.read(student, teacher, *zip(*self.pairs, strict=True))

    def features(self, student: View, teacher: View) -> list[tuple[Tensor, Tensor]]:
        """Return the features (student's, teacher's) pair by pair; both of a pair are of the same samples."""
        if self.one_span:
            student, teacher = match_views(student, teacher, self.student_places, self.teacher_places)
            return [(student.feats[first], teacher.feats[second]) for first, second in self.pairs]
        pairs = []
        for first, second in self.pairs:
            places = self.student_places[first], self.teacher_places[second]
            feature, target = match((student.feats[first], teacher.feats[second]), places)
            pairs.append((feature, target))
        return pairs

    def channel_pairs(self, student: View, teacher: View) -> list[tuple[int, int]]:
        """Return the channels (student's, teacher's) of each pair of features once they are ``aligned``."""
        channels = []
        for pair in self.features(student, teacher):
            feature, target = aligned(*pair)
            channels.append((feature.shape[1], target.shape[1]))
        return channels

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        distances = []
        for pair, (feature, target) in enumerate(self.features(student, teacher)):
            distances.append(self.distance(pair, feature, target))
        return torch.stack(distances).sum()

    def distance(self, pair: int, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of one pair of features, a scalar; ``pair`` is its index in ``pairs``."""
        raise TypeError(f"{type(self).__name__} is an abstract base class: define distance in a subclass")
