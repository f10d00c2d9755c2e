"""Attention over layers: the base of ABC-KD, AFD, SemCKD and ALP. It is from no paper.

Each of these methods reads all layers of both networks. Attention gives a weight to every pair (student layer s,
teacher layer t) of every item, and features are compared with these weights. This file determines which layers are
read, how two features get the same shape, and what is logged; each paper's file defines the weights and the comparison.
All layers are matched by position first (``positions.py``), and then pooled to the size that the paper asks for.

None of these losses is 0 when both networks are equal, because a layer is compared with other layers too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor, nn

from sordino.distill.base import Method
from sordino.distill.layers.layer_loss import Side, check_side, layers_of
from sordino.distill.layers.pairing import layer_taps, nothing_shared
from sordino.distill.layers.positions import match_views
from sordino.distill.layers.resize import planes, pooled, resample_time, resize_planes, same_axes
from sordino.errors import InputError
from sordino.types import Batch, Tap, View

Features = Sequence[Tensor]
"""One [B,C,N] or [B,C,N,F] per layer, in the order of the signal."""

FRAMES, BINS = 256, 16
"""The most frames and bins at which features, not maps, are compared; larger ones are averaged first."""


def shorten(features: Features, frames: int = FRAMES, bins: int = BINS) -> list[Tensor]:
    """Average features down to ``frames`` and ``bins`` where they have more; each keeps its axes."""
    short = []
    for feature in features:
        length = min(feature.shape[2], frames)
        if feature.ndim == 3:
            short.append(resample_time(feature, length))
        else:
            short.append(resize_planes(feature, length, min(feature.shape[3], bins)))
    return short


def same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Resize two features to the smaller number of frames and of bins: [B,C,n,f] and [B,C',n,f].

    Where only one of them has frequencies, these become its channels.
    """
    student, teacher = map(planes, same_axes([student, teacher]))
    frames = min(student.shape[2], teacher.shape[2])
    bins = min(student.shape[3], teacher.shape[3])
    return resize_planes(student, frames, bins), resize_planes(teacher, frames, bins)


def all_pairs(student: Features, teacher: Features) -> list[tuple[Tensor, Tensor]]:
    """Pair every student layer with every teacher layer, the latter running faster, each pair at the same size."""
    return [same_size(feature, target) for feature, target in product(student, teacher)]


def common_bins(own: Tensor, others: Sequence[Tensor]) -> int:
    """Return the bins at which a map [B,N,F] is compared with others: its own, but no more than the largest."""
    return min(own.shape[2], max(other.shape[2] for other in others))


class LayerSummaries(nn.Module):
    """Queries or keys: a batch-normalised linear map of each layer's global average, [B,L,dim].

    Args:
        features: examples of the layers' features, which give their channels.
        dim: size of a query or key.
    """

    def __init__(self, features: Features, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for feature in features:
            self.layers.append(nn.Sequential(nn.Linear(feature.shape[1], dim), nn.BatchNorm1d(dim)))

    def forward(self, features: Features) -> Tensor:
        """Return a summary of every layer, [B,L,dim].

        Raises:
            InputError: a batch of one item, on which batch norm cannot train.
        """
        if self.training and len(features[0]) == 1:
            found = "one item, and the attention over layers is normalised over the batch"
            raise InputError("train.batch_size", found, "2 or more")
        summaries = [layer(pooled(feature)) for layer, feature in zip(self.layers, features, strict=True)]
        return torch.stack(summaries, dim=1)


def layer_positions(layers: int, dim: int) -> nn.Parameter:
    """Create learnt positions [L,dim], by which attention can tell one layer from another."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(layers, dim)))


class AttentionLoss(nn.Module):
    """Attention weights and comparison of one paper, sized by features of both networks.

    Args:
        student, teacher: examples of the features, layer by layer.
        dim: size of queries and keys.

    Attributes:
        over: the network over whose layers the softmax runs.
    """

    over: ClassVar[str] = "teacher"

    def __init__(self, student: Features, teacher: Features, dim: int) -> None:
        super().__init__()

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Tensor]:
        """Return the loss, a scalar, and the attention [B,S,T], or [B,T,S] where the softmax runs over the student."""
        raise TypeError(f"{type(self).__name__} is an abstract base class: define forward in a subclass")


class LayerAttention(Method):
    """Base of the methods that weigh pairs of layers; a paper's file adds ``attention_loss``.

    ``figures`` returns the mean attention of the last batch. Each row sums to 1: its columns are the layers over which
    the softmax runs, the teacher's or, for AFD, the student's.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        over: the network over whose layers the softmax runs.
        positive: arguments of the method that must be 1 or more, by name.

    Raises:
        ValueError: no such side, or an argument below 1.
    """

    zero_when_equal: ClassVar[bool] = False
    weighing: AttentionLoss

    def __init__(self, side: Side, over: str, **positive: int) -> None:
        super().__init__()
        check_side(side)
        self.side, self.over = side, over
        for name, value in positive.items():
            if value < 1:
                raise ValueError(f"{name} is 1 or more, not {value}")

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        self.read(student, teacher, layer_taps(student, self.side), layer_taps(teacher, self.side))
        if not self.student_taps or not self.teacher_taps:
            network = "teacher" if self.student_taps else "student"
            found = f"the {network} has no {layers_of(self.side)} to attend to"
            wanted = "encoder.N, and decoder.N beside it" if self.side == "both" else f"{self.side}.N, and encoder.N"
            raise nothing_shared(type(self).__name__, found, student, teacher, wanted)
        self.rows, self.columns = list(self.student_taps), list(self.teacher_taps)
        if self.over == "student":
            self.rows, self.columns = self.columns, self.rows

    def prepare(self, student: View, teacher: View) -> None:
        self.weighing = self.attention_loss(*self._features(student, teacher)).to(student.wave.device)

    def attention_loss(self, student: Features, teacher: Features) -> AttentionLoss:
        """Create the module that this method learns, sized by features of both networks."""
        raise TypeError(f"{type(self).__name__} is an abstract base class: define attention_loss in a subclass")

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        # Weights, and small differences of large features, need single precision.
        with torch.autocast(student.wave.device.type, enabled=False):
            loss, attention = self.weighing(*self._features(student, teacher))
        self.tables = {"attention": attention.detach().mean(dim=0)}
        return loss

    def _features(self, student: View, teacher: View) -> tuple[list[Tensor], list[Tensor]]:
        """Return all layers of both networks, cropped to the samples that all of them cover."""
        student, teacher = match_views(student, teacher, self.student_places, self.teacher_places)
        return list(student.feats.values()), list(teacher.feats.values())
