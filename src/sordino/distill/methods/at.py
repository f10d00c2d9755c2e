"""Attention transfer: the student learns where in time the teacher's features have high energy.

Zagoruyko, Komodakis: "Paying More Attention to Attention", ICLR 2017, arXiv 1612.03928, in the form that Shin et al.
(Interspeech 2022, Eq. 1 and 2) give it for waveforms. The map of a feature A is F(A) = sum_c |A_c|^p over time,
normalised by its l2 norm, and the loss of a pair is the l1 (or l2) norm of the difference of two maps.

Paper and published code differ: the paper sums over channels and takes the norm of the difference, as here; the
vision code takes means over both. This is NOT a loss on the features' values: any permutation of channels is free.

Our reading, where the speech paper is silent: the norm is taken per item and averaged over the batch, and each pair has
weight 1. Maps are matched by position before they are normalised: cropped to the samples that both networks cover
(``positions.py``), and where the strides differ the teacher's is resampled to the student's: interpolated linearly
where it has fewer frames, as that of a deeper layer has, and averaged where it has more.

By default the norm is divided by the number of frames; the vision code has the mean of squares. Eq. 2 has the sum, and
the paper gives no weight. But summed over the frames of 4 s of speech, with MANNER-B 24/4 as the teacher, the gradient
of MV-AT was 430 times as long as that of the supervised loss (l2: 19 times); averaged it was 0.2 times as long (l2:
0.012). So ``sum`` drowns the supervised loss. Either way the weight has to be found by measurement (``balance``), and
then the gradients of l1 and l2 are equally long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.distill.layers.layer_loss import LayerPairs
from sordino.distill.layers.pairing import layer_pairs, nothing_shared
from sordino.distill.layers.resize import fold, resample_time
from sordino.types import Tap

NORM_FLOOR = 1e-12


def attention_map(feature: Tensor, power: float = 2.0, length: int | None = None) -> Tensor:
    """Return the temporal attention map (Eq. 1), l2-normalised: [B,C,N] -> [B,N], or [B,length] if that is given.

    Frequencies of [B,C,N,F] count as channels. An all-zero feature gives an all-zero map with a zero gradient.
    """
    energy = fold(feature).abs().pow(power).sum(dim=1)
    if length is not None:
        energy = resample_time(energy.unsqueeze(1), length).squeeze(1)
    return F.normalize(energy, dim=-1, eps=NORM_FLOOR)


def attention_distance(student: Tensor, teacher: Tensor, norm: str = "l1", reduction: str = "mean") -> Tensor:
    """Return the distance of two features' attention maps (Eq. 2), averaged over the batch: a scalar.

    Args:
        student, teacher: features [B,C,N] or [B,C,N,F] of the same samples; the teacher's map is resampled to the
            student's length.
        norm: ``l1`` or ``l2``, the norm of the difference over time.
        reduction: ``mean`` divides by the number of frames; ``sum`` is Eq. 2 as printed, and for l1 grows with the
            square root of the length.
    """
    length = student.shape[2]
    difference = attention_map(student) - attention_map(teacher, length=length)
    # At a difference of exactly 0 torch defines the gradient of either norm as 0.
    distance = torch.linalg.vector_norm(difference, ord=1 if norm == "l1" else 2, dim=-1)
    return distance.mean() / (length if reduction == "mean" else 1)


@dataclass(frozen=True)
class AttentionMap:
    """Reduction of a feature to one channel with the same attention map: [B,C,N] -> [B,1,N].

    It keeps the teacher's frames, so that it can be cropped and resampled by position as the feature itself.
    """

    def __call__(self, feature: Tensor) -> Tensor:
        # The attention map of a single channel is its normalised square, so its square root has the map it came from.
        return attention_map(feature).sqrt().unsqueeze(1)


class AttentionTransfer(LayerPairs):
    """Single-view attention transfer: maps of the output of every encoder and decoder layer (Table 3, second row).

    Args:
        norm: ``l1`` (the paper's choice) or ``l2``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        reduction: ``mean`` over time, or ``sum`` (Eq. 2), whose gradient is hundreds of times a supervised loss's.

    Raises:
        ValueError: no such norm or reduction.
    """

    kinds: tuple[str, ...] = ("",)

    def __init__(self, norm: str = "l1", dual_depth: bool = True, reduction: str = "mean") -> None:
        super().__init__(dual_depth=dual_depth)
        if norm not in ("l1", "l2") or reduction not in ("sum", "mean"):
            raise ValueError(f"norm is l1 or l2 and reduction is sum or mean, not {norm!r} and {reduction!r}")
        self.norm, self.reduction = norm, reduction

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        self.pairs = layer_pairs(student, teacher, self.kinds, self.dual_depth)
        if not self.pairs:
            kinds = " or ".join(self.kinds) or "layer"
            raise nothing_shared(
                type(self).__name__,
                f"student and teacher share no {kinds} features at any depth that it pairs",
                student,
                teacher,
                " or ".join(f"encoder.N{kind and f'.{kind}'}" for kind in self.kinds) + ", or of the decoder, in both",
                "a shallower student needs dual_depth: true",
            )
        self.read(student, teacher, *zip(*self.pairs, strict=True))
        self.reductions = dict.fromkeys(self.teacher_taps, AttentionMap())

    def distance(self, pair: int, student: Tensor, teacher: Tensor) -> Tensor:
        return attention_distance(student, teacher, self.norm, self.reduction)
