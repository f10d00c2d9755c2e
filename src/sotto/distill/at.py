"""Attention transfer: the student learns where in time the teacher's features are strong.

Zagoruyko, Komodakis: "Paying More Attention to Attention", ICLR 2017, arXiv 1612.03928, in the form that Shin et al.
(Interspeech 2022, Eq. 1 and 2) give it for waveforms. The map of a feature A is F(A) = sum_c |A_c|^p over time,
normalised by its l2 norm, and the loss of a pair is the l1 (or l2) norm of the difference of two maps.

Paper and published code differ: the paper sums over channels and takes the norm of the difference, as here; the
vision code takes means over both. This is NOT a loss on the features' values: any permutation of channels is free.

Our reading, where the speech paper is silent: the norm is taken per item and averaged over the batch, each pair has
weight 1, and a teacher's map of another length is brought to the student's before it is normalised: interpolated
linearly where it is shorter, as that of a deeper layer is, and averaged where it is longer, as one from a network with
more frames per second is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sotto.distill.base import Method
from sotto.distill.features import fold, resample_time
from sotto.distill.pairing import layer_pairs
from sotto.errors import InputError
from sotto.types import Batch, Tap, View

NORM_FLOOR = 1e-12


def attention_map(feature: Tensor, power: float = 2.0, length: int | None = None) -> Tensor:
    """Temporal attention map (Eq. 1), l2-normalised: [B,C,N] -> [B,N], or [B,length] when a length is given.

    Frequencies of [B,C,N,F] count as channels.

    An all-zero feature gives an all-zero map with a zero gradient.
    """
    energy = fold(feature).abs().pow(power).sum(dim=1)
    if length is not None:
        energy = resample_time(energy.unsqueeze(1), length).squeeze(1)
    return F.normalize(energy, dim=-1, eps=NORM_FLOOR)


def attention_distance(student: Tensor, teacher: Tensor, norm: str = "l1", reduction: str = "sum") -> Tensor:
    """Distance of two features' attention maps (Eq. 2), averaged over the batch: [B,C,N], [B,C',N'] -> scalar.

    Args:
        student, teacher: features [B,C,N] or [B,C,N,F]; the teacher's map is brought to the student's length.
        norm: ``l1`` or ``l2``, the norm of the difference over time.
        reduction: ``sum`` as in Eq. 2, or ``mean`` to divide by the length; the sum of an l1 difference of two unit
            vectors grows with the square root of the length.
    """
    length = student.shape[2]
    difference = attention_map(student) - attention_map(teacher, length=length)
    # At a difference of exactly 0 torch defines the gradient of either norm as 0.
    distance = torch.linalg.vector_norm(difference, ord=1 if norm == "l1" else 2, dim=-1)
    return distance.mean() / (length if reduction == "mean" else 1)


@dataclass(frozen=True)
class AttentionMap:
    """A feature of one channel that has the attention map of the feature it came from: [B,C,N] -> [B,1,length].

    Args:
        length: of the map; the student's.
    """

    length: int

    def __call__(self, feature: Tensor) -> Tensor:
        # The map of a feature of one channel is its square, normalised.
        return attention_map(feature, length=self.length).sqrt().unsqueeze(1)


class AttentionTransfer(Method):
    """Single-view attention transfer: maps of the output of every encoder and decoder layer (Table 3, second row).

    Args:
        norm: ``l1`` (the paper's choice) or ``l2``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        reduction: ``sum`` (Eq. 2) or ``mean`` over time.
    """

    kinds: tuple[str, ...] = ("",)

    def __init__(self, norm: str = "l1", dual_depth: bool = True, reduction: str = "sum") -> None:
        super().__init__()
        if norm not in ("l1", "l2") or reduction not in ("sum", "mean"):
            raise ValueError(f"norm is l1 or l2 and reduction is sum or mean, not {norm!r} and {reduction!r}")
        self.norm, self.dual_depth, self.reduction = norm, dual_depth, reduction
        self.pairs: list[tuple[str, str]] = []

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        self.pairs = layer_pairs(student, teacher, self.kinds, self.dual_depth)
        if not self.pairs:
            wanted = " or ".join(self.kinds) or "layer"
            raise InputError(
                type(self).__name__,
                f"student and teacher share no {wanted} features at any depth that it pairs",
                do="choose networks with such taps, or dual_depth: true for a shallower student",
            )
        self.student_taps = tuple(dict.fromkeys(ours for ours, _ in self.pairs))
        self.teacher_taps = tuple(dict.fromkeys(theirs for _, theirs in self.pairs))

    def prepare(self, student: View, teacher: View) -> None:
        # No tap of the teacher is in two pairs, so each is needed at one length.
        self.reductions = {theirs: AttentionMap(student.feats[ours].shape[2]) for ours, theirs in self.pairs}

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        distances = [
            attention_distance(student.feats[ours], teacher.feats[theirs], self.norm, self.reduction)
            for ours, theirs in self.pairs
        ]
        return torch.stack(distances).sum()
