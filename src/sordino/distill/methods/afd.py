"""AFD: every teacher layer is compared with all student layers, with weights that attention finds.

Ji, Heo, Park: "Show, Attend and Distill: Knowledge Distillation via Attention-based Feature Matching", AAAI 2021,
arXiv 2102.02973. With averages over positions GAP, batch norm BN and learnt maps W and positions P,

    q_t = BN(W_t GAP(g_t)),   k_s = ReLU(BN(W_s GAP(f_s))),   k_st = BN(W k_s)_t   (one shared W, a vector per t),
    a_t = softmax over the STUDENT's layers of (k_st . q_t + P_t . P_s) / sqrt(d),   d = 128,
    L = sum_t mean_b sum_s a_ts mean over positions (v_t - v_s)^2,   v = n(vec(mean_c f^2)),

with v_s resized to v_t before the l2 normalisation n. This is the form of the published code, which weighs L by 200 for
pictures of 32 or 64 positions a side. As v has unit length, the mean over positions shrinks as features grow: in this
form the long layers of a network on waveforms hardly count. ``reduction: sum``, an addition of this project, counts all
layers alike.

Also different from the code: a student's map that is the shorter one is interpolated linearly, not repeated, and where
only one network has frequencies, its energies are averaged over them.

It is NOT a loss on the features' values, only on where they are strong.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.attention import (
    AttentionLoss,
    Features,
    LayerAttention,
    LayerSummaries,
    common_bins,
    layer_positions,
)
from sordino.distill.layers.layer_loss import Side
from sordino.distill.layers.resize import energy, resize


def map_distances(student: Features, teacher: Features, reduction: str = "mean") -> Tensor:
    """Return squared differences of normalised energy maps, each pair at the teacher's size: [B,T,S].

    Args:
        student, teacher: features, layer by layer.
        reduction: ``mean`` over positions, or their ``sum``.
    """
    energies = [energy(feature) for feature in student]
    rows = []
    for feature in teacher:
        target = energy(feature)
        size = target.shape[1], common_bins(target, energies)
        maps = torch.stack([F.normalize(resize(one, *size).flatten(1)) for one in energies], dim=1)
        squares = (maps - F.normalize(resize(target, *size).flatten(1)).unsqueeze(1)).square()
        rows.append(squares.mean(dim=-1) if reduction == "mean" else squares.sum(dim=-1))
    return torch.stack(rows, dim=1)


class FeatureMatching(AttentionLoss):
    """Attention weights and loss of AFD, sized by features of both networks."""

    over: ClassVar[str] = "student"

    def __init__(self, student: Features, teacher: Features, dim: int, reduction: str = "mean") -> None:
        super().__init__(student, teacher, dim)
        self.reduction = reduction
        self.queries, self.keys = LayerSummaries(teacher, dim), LayerSummaries(student, dim)
        self.bilinear = nn.Sequential(nn.Linear(dim, dim * len(teacher)), nn.BatchNorm1d(dim * len(teacher)))
        self.teacher_positions = layer_positions(len(teacher), dim)
        self.student_positions = layer_positions(len(student), dim)

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Tensor]:
        attention = self.weights(student, teacher)
        return (attention * map_distances(student, teacher, self.reduction)).sum(dim=(1, 2)).mean(), attention

    def weights(self, student: Features, teacher: Features) -> Tensor:
        """Return the weights of the student's layers for each teacher layer: [B,T,S], with a sum of 1 over S."""
        queries, keys = self.queries(teacher), self.keys(student).relu()
        items, layers, dim = keys.shape
        keys = self.bilinear(keys.flatten(0, 1)).view(items, layers, len(teacher), dim)
        logits = torch.einsum("bstd,btd->bts", keys, queries) + self.teacher_positions @ self.student_positions.T
        return (logits / math.sqrt(dim)).softmax(dim=-1)


class AttentionFeatureDistillation(LayerAttention):
    """AFD: every teacher layer is compared with all student layers, with weights that attention finds.

    A batch needs two items, for batch norm.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dim: d, of queries and keys.
        reduction: ``mean`` over positions as in the published code, or ``sum``, which does not depend on the length.

    Raises:
        ValueError: no such side or reduction, or ``dim`` below 1.
    """

    def __init__(self, side: Side = "both", dim: int = 128, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__(side, FeatureMatching.over, dim=dim)
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction is mean or sum, not {reduction!r}")
        self.dim, self.reduction = dim, reduction

    def attention_loss(self, student: Features, teacher: Features) -> AttentionLoss:
        return FeatureMatching(student, teacher, self.dim, self.reduction)
