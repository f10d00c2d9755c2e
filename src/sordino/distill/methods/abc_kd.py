"""ABC-KD: attention compresses all layers of the teacher into one target for each layer of the student.

Wan, Zhou, Peng, Chang, Lu: "ABC-KD: Attention-Based-Compression Knowledge Distillation for Deep Learning-Based Noise
Suppression", Interspeech 2023, arXiv 2305.16665. Its abstract, all that was at hand of it, says that the teacher's
layers are compressed with attention, that clean speech is not needed, and that the authors' own method outperforms the
mainstream ones. It has no equations, so none of what follows is the paper's claim. Our reading, with averages over
positions GAP, batch norm BN, learnt maps W and positions p, and energies E(f) = mean_c f^2 at the student layer's size:

    q_s = BN(W_s GAP(f_s)),   k_t = BN(W_t GAP(g_t)),   a_s = softmax over the TEACHER's layers of
    (q_s . k_t + p_s . p_t) / sqrt(d),   G_s = sum_t a_st phi(g_t),   L = mean over s and b of ||n(E(f_s)) - n(G_s)||^2,

n being the l2 normalisation of a flattened map. phi has no parameters, so it cannot collapse. By default it is
n(E(g_t)), since otherwise the loudest layer would dominate the sum whatever its weight; ``values: energy`` sums E(g_t)
as it is. With ``values: projection`` the student is projected to the teacher's channels instead, and since layers of
different width have no sum, L = mean_s mean_b sum_t a_st ||n(W_st f_s) - n(g_t)||^2.

``attention`` replaces weights and comparison by those of AFD, SemCKD or ALP, as their files define them. The total of
the paper, L_SE + w_out L_out + w L, is a matter of the recipe: the loss on the output is the method ``output``.

By its default values it is NOT a loss on the features' values, only on where they are strong.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.base import check_choice
from sordino.distill.layers.attention import (
    AttentionLoss,
    Features,
    LayerAttention,
    LayerSummaries,
    all_pairs,
    common_bins,
    layer_positions,
    shorten,
)
from sordino.distill.layers.layer_loss import Side
from sordino.distill.layers.resize import energy, resize
from sordino.distill.methods.afd import FeatureMatching
from sordino.distill.methods.alp import LayerProjection
from sordino.distill.methods.semckd import SemanticCalibration

Attention = Literal["abc", "afd", "semckd", "alp"]
Values = Literal["normalised", "energy", "projection"]


def compressed_distance(feature: Tensor, teacher: Features, attention: Tensor, normalise: bool = True) -> Tensor:
    """Return ||n(E(f_s)) - n(G_s)||^2 of one student layer: [B], in 0..2.

    Args:
        feature: f_s, [B,C,N] or [B,C,N,F].
        teacher: g_t, layer by layer; where none has frequencies, the student's are averaged.
        attention: a_s [B,T].
        normalise: whether phi is n(E(g_t)), or E(g_t) as it is.
    """
    own, targets = energy(feature), [energy(one) for one in teacher]
    size = own.shape[1], common_bins(own, targets)
    maps = torch.stack([resize(target, *size).flatten(1) for target in targets], dim=1)
    if normalise:
        maps = F.normalize(maps, dim=-1)
    compressed = F.normalize((attention.unsqueeze(1) @ maps).squeeze(1))
    return (F.normalize(resize(own, *size).flatten(1)) - compressed).square().sum(dim=-1)


class Compression(AttentionLoss):
    """Attention weights and loss of ABC-KD, sized by features of both networks.

    Args:
        student, teacher: examples of the features, layer by layer.
        dim: d, of queries and keys.
        values: what is compared; see ``AttentionCompression``.
    """

    def __init__(self, student: Features, teacher: Features, dim: int, values: Values = "normalised") -> None:
        super().__init__(student, teacher, dim)
        self.values = values
        self.queries, self.keys = LayerSummaries(student, dim), LayerSummaries(teacher, dim)
        self.student_positions = layer_positions(len(student), dim)
        self.teacher_positions = layer_positions(len(teacher), dim)
        self.projections = nn.ModuleList()
        if values == "projection":
            for feature, target in all_pairs(shorten(student), shorten(teacher)):
                self.projections.append(nn.Conv2d(feature.shape[1], target.shape[1], 1))

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Tensor]:
        attention = self.weights(student, teacher)
        if self.values == "projection":
            return (attention * self._distances(student, teacher)).sum(dim=-1).mean(), attention
        distances = []
        for feature, weights in zip(student, attention.unbind(dim=1), strict=True):
            distances.append(compressed_distance(feature, teacher, weights, self.values == "normalised"))
        return torch.stack(distances).mean(), attention

    def weights(self, student: Features, teacher: Features) -> Tensor:
        """Return the weights of the teacher's layers for each student layer: [B,S,T], with a sum of 1 over T."""
        queries, keys = self.queries(student), self.keys(teacher)
        logits = queries @ keys.transpose(1, 2) + self.student_positions @ self.teacher_positions.T
        return (logits / math.sqrt(queries.shape[-1])).softmax(dim=-1)

    def _distances(self, student: Features, teacher: Features) -> Tensor:
        """Return ||n(W_st f_s) - n(g_t)||^2: [B,S,T]."""
        pairs = all_pairs(shorten(student), shorten(teacher))
        distances = []
        for project, (feature, target) in zip(self.projections, pairs, strict=True):
            difference = F.normalize(project(feature).flatten(1)) - F.normalize(target.flatten(1))
            distances.append(difference.square().sum(dim=-1))
        return torch.stack(distances, dim=1).unflatten(1, (len(student), len(teacher)))


FAMILY: dict[str, type[AttentionLoss]] = {
    "abc": Compression,
    "afd": FeatureMatching,
    "semckd": SemanticCalibration,
    "alp": LayerProjection,
}
"""Choices of ``attention``; all but the first are also methods of their own, with more arguments."""


class AttentionCompression(LayerAttention):
    """ABC-KD: every student layer learns from a compression of all the teacher's layers. A batch needs two items.

    Args:
        attention: ``abc``, or the weights and the comparison of ``afd``, ``semckd`` or ``alp`` with their defaults, but
            for ``side``.
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dim: d, of queries and keys.
        values: what ``abc`` compares: maps of energy that are ``normalised`` before they are summed, maps of ``energy``
            as they are, or the features themselves after a learnt ``projection``, at 256 frames and 16 bins at most.

    Raises:
        ValueError: no such attention, side or values, values with another attention, or ``dim`` below 1.
    """

    def __init__(
        self, attention: Attention = "abc", side: Side = "both", dim: int = 128, values: Values = "normalised"
    ) -> None:
        check_choice("attention", attention, get_args(Attention))
        check_choice("values", values, get_args(Values))
        if attention != "abc" and values != "normalised":
            raise ValueError(f"values {values} belong to the attention abc, not to {attention}")
        super().__init__(side, FAMILY[attention].over, dim=dim)
        self.attention, self.dim = attention, dim
        self.across_items = attention == "semckd"  # whose weights come from the similarity of the batch's items
        self.values: Values = values

    def attention_loss(self, student: Features, teacher: Features) -> AttentionLoss:
        if self.attention == "abc":
            return Compression(student, teacher, self.dim, self.values)
        return FAMILY[self.attention](student, teacher, self.dim)
