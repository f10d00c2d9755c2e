"""AFD: attention decides how much of each student layer goes into the comparison with a teacher's layer.

Ji, Heo, Park: "Show, Attend and Distill: Knowledge Distillation via Attention-based Feature Matching", AAAI 2021,
arXiv 2102.02973. With averages over positions GAP, batch norm BN and learnt maps W and positions P,

    q_t = BN(W_t GAP(g_t)),   k_s = ReLU(BN(W_s GAP(f_s))),   k_st = BN(W k_s)_t   (one shared W, a vector per t),
    a_t = softmax over the STUDENT's layers of (k_st . q_t + P_t . P_s) / sqrt(d),   d = 128,
    L = sum_t mean_b sum_s a_ts mean over positions (v_t - v_s)^2,   v = n(vec(mean_c f^2)),

with v_s brought to the size of v_t before the l2 norm n. This is the form of the published code, which weighs L by 200
for pictures of 32 or 64 positions a side. As v has unit length, the mean over positions shrinks as features grow: the
code's form hardly counts the long layers of a network on waveforms, and ``reduction: sum`` (ours) counts all alike.

Ours too: where the student's map is the shorter one it is interpolated linearly, which the code does by repetition,
and where only one network has frequencies, the energies of the other are averaged over them.

It is NOT a loss on the features' values, only on where they are strong.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.attention import Features, LayerAttention, Scheme, Summaries, common_bins, positions
from sordino.distill.layers.layer_loss import Side
from sordino.distill.layers.resize import energy, resize


def map_distances(student: Features, teacher: Features, reduction: str = "mean") -> Tensor:
    """Squared differences of normalised energy maps, each pair at the size of the teacher's: [B,T,S].

    Args:
        student, teacher: features, layer by layer.
        reduction: ``mean`` over positions, or their ``sum``.
    """
    ours, rows = [energy(feature) for feature in student], []
    for target in (energy(feature) for feature in teacher):
        size = target.shape[1], common_bins(target, ours)
        maps = torch.stack([F.normalize(resize(one, *size).flatten(1)) for one in ours], dim=1)
        squares = (maps - F.normalize(resize(target, *size).flatten(1)).unsqueeze(1)).square()
        rows.append(squares.mean(dim=-1) if reduction == "mean" else squares.sum(dim=-1))
    return torch.stack(rows, dim=1)


class FeatureMatching(Scheme):
    """Weights and loss of AFD, sized by features of both networks."""

    over: ClassVar[str] = "student"

    def __init__(self, student: Features, teacher: Features, dim: int, reduction: str = "mean") -> None:
        super().__init__(student, teacher, dim)
        self.reduction = reduction
        self.queries, self.keys = Summaries(teacher, dim), Summaries(student, dim)
        self.bilinear = nn.Sequential(nn.Linear(dim, dim * len(teacher)), nn.BatchNorm1d(dim * len(teacher)))
        self.teacher_positions, self.student_positions = positions(len(teacher), dim), positions(len(student), dim)

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Tensor]:
        attention = self.weights(student, teacher)
        return (attention * map_distances(student, teacher, self.reduction)).sum(dim=(1, 2)).mean(), attention

    def weights(self, student: Features, teacher: Features) -> Tensor:
        """How each teacher layer shares out its weight: [B,T,S]."""
        queries, keys = self.queries(teacher), self.keys(student).relu()
        items, layers, dim = keys.shape
        keys = self.bilinear(keys.flatten(0, 1)).view(items, layers, len(teacher), dim)
        logits = torch.einsum("bstd,btd->bts", keys, queries) + self.teacher_positions @ self.student_positions.T
        return (logits / math.sqrt(dim)).softmax(dim=-1)


class AttentionFeatureDistillation(LayerAttention):
    """AFD: every teacher layer is compared with the student layers that attention finds for it.

    Batch norm needs two items at least.

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

    def scheme(self, student: Features, teacher: Features) -> Scheme:
        return FeatureMatching(student, teacher, self.dim, self.reduction)
