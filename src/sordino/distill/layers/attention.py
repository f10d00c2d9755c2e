"""Attention over layers: what ABC-KD, AFD, SemCKD and ALP share, and no paper of its own.

Each of these methods taps all layers of both networks, lets attention weigh every pair (student layer s, teacher
layer t), item by item, and compares features with those weights. It says here which layers are tapped, how two
features come onto one grid, and what is logged; each paper's file says how the weights arise and what is compared.
All layers are matched by position first (``positions.py``); only then are they pooled to the size that a paper asks.

None of these losses is 0 when both networks are equal, for a layer is never compared with its like alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn

from sordino.distill.base import Method
from sordino.distill.layers.layer_loss import Side
from sordino.distill.layers.pairing import layer_taps
from sordino.distill.layers.positions import match_views
from sordino.distill.layers.resize import alike, planes, pooled, resample_time, resize_planes
from sordino.errors import InputError
from sordino.types import Batch, Tap, View

Features = Sequence[Tensor]
"""One [B,C,N] or [B,C,N,F] per layer, in the order of the signal."""

FRAMES, BINS = 256, 16
"""The most frames and bins at which features, not maps, are compared; larger ones are averaged first."""


def shorten(features: Features, frames: int = FRAMES, bins: int = BINS) -> list[Tensor]:
    """Features averaged down to ``frames`` and ``bins`` where they have more; each keeps its axes."""
    return [
        resample_time(one, min(one.shape[2], frames))
        if one.ndim == 3
        else resize_planes(one, min(one.shape[2], frames), min(one.shape[3], bins))
        for one in features
    ]


def meet(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Two features on one grid, the smaller of either axis: [B,C,n,f] and [B,C',n,f].

    Frequencies that only one of them has become its channels.
    """
    ours, theirs = (planes(feature) for feature in alike([ours, theirs]))
    size = min(ours.shape[2], theirs.shape[2]), min(ours.shape[3], theirs.shape[3])
    return resize_planes(ours, *size), resize_planes(theirs, *size)


def meetings(student: Features, teacher: Features) -> list[tuple[Tensor, Tensor]]:
    """Every student layer with every teacher layer, as ``meet`` brings them together; the teacher's run faster."""
    return [meet(ours, theirs) for ours in student for theirs in teacher]


def common_bins(own: Tensor, others: Sequence[Tensor]) -> int:
    """Bins at which a map [B,N,F] is compared with others: its own, or those of the finest if that has fewer."""
    return min(own.shape[2], max(other.shape[2] for other in others))


class Summaries(nn.Module):
    """Queries or keys: a batch-normalised linear map of each layer's global average, [B,L,dim].

    Args:
        features: what the layers look like.
        dim: of a query.
    """

    def __init__(self, features: Features, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(feature.shape[1], dim), nn.BatchNorm1d(dim)) for feature in features
        )

    def forward(self, features: Features) -> Tensor:
        """A summary of every layer [B,L,dim].

        Raises:
            InputError: a batch of one item, which batch norm cannot train on.
        """
        if self.training and len(features[0]) == 1:
            found = "one item, and the attention over layers is normalised over the batch"
            raise InputError("train.batch_size", found, "2 or more")
        return torch.stack([layer(pooled(one)) for layer, one in zip(self.layers, features, strict=True)], dim=1)


def positions(layers: int, dim: int) -> nn.Parameter:
    """Learnt positions [L,dim], which tell a layer by its place."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(layers, dim)))


class Scheme(nn.Module):
    """One paper's weights and comparison, sized by features of both networks.

    Args:
        student, teacher: what the layers look like.
        dim: of queries and keys.

    Attributes:
        over: the network over whose layers the softmax runs.
    """

    over: ClassVar[str] = "teacher"

    def __init__(self, student: Features, teacher: Features, dim: int) -> None:
        super().__init__()

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Tensor]:
        """The loss, a scalar, and the attention [B,S,T], or [B,T,S] where the softmax runs over the student."""
        raise TypeError(f"{type(self).__name__} is a contract, not a scheme: it has no loss")


class LayerAttention(Method):
    """Base of the methods that weigh pairs of layers; a paper's file adds ``scheme``.

    ``figures`` shows the last batch's mean attention. Its rows are the layers that each share out a weight of 1, its
    columns those that the softmax runs over, which for AFD are the student's.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        over: the network over whose layers the softmax runs.
        positive: arguments that must be 1 or more, by name.

    Raises:
        ValueError: no such side, or an argument below 1.
    """

    zero_when_equal: ClassVar[bool] = False
    weighing: Scheme

    def __init__(self, side: Side, over: str, **positive: int) -> None:
        super().__init__()
        if side not in get_args(Side):
            raise ValueError(f"side is both, encoder or decoder, not {side!r}")
        self.side, self.over = side, over
        for name, value in positive.items():
            if value < 1:
                raise ValueError(f"{name} is 1 or more, not {value}")
        self._mean: Tensor | None = None

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        self.read(student, teacher, *(layer_taps(taps, self.side) for taps in (student, teacher)))
        if not self.student_taps or not self.teacher_taps:
            raise InputError(
                type(self).__name__,
                f"the {'teacher' if self.student_taps else 'student'} has no "
                f"{'layers' if self.side == 'both' else self.side} to attend to",
                hint="choose networks that declare such taps",
            )
        taps = {"student": list(self.student_taps), "teacher": list(self.teacher_taps)}
        self.columns = taps.pop(self.over)
        (self.rows,) = taps.values()

    def prepare(self, student: View, teacher: View) -> None:
        self.weighing = self.scheme(*self._features(student, teacher)).to(student.wave.device)

    def scheme(self, student: Features, teacher: Features) -> Scheme:
        """What this method learns, sized by features of both networks."""
        raise TypeError(f"{type(self).__name__} is a base of methods: it has no scheme")

    def figures(self) -> dict[str, Tensor]:
        return {} if self._mean is None else {"attention": self._mean}

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        # Weights and small differences of large features ask for single precision.
        with torch.autocast(student.wave.device.type, enabled=False):
            loss, attention = self.weighing(*self._features(student, teacher))
        self._mean = attention.detach().mean(dim=0)
        return loss

    def _features(self, student: View, teacher: View) -> tuple[list[Tensor], list[Tensor]]:
        """All layers of both networks, cropped to the samples that all of them show."""
        student, teacher = match_views(student, teacher, self.student_places, self.teacher_places)
        return list(student.feats.values()), list(teacher.feats.values())
