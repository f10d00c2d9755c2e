"""SemCKD: every student layer learns from the teacher layers in which the items of a batch are similar in the same way.

Chen, Mei, Zhang, Wang, Feng, Chen: "Cross-Layer Distillation with Semantic Calibration", AAAI 2021, arXiv 2012.03236.
With X [B,all else] a layer's features and G = X X^T [B,B], whose row b holds the similarities of item b to all,

    q_s = n(MLP_s(G_s)),   k_t = n(MLP_t(G_t)),   a_s = softmax over the TEACHER's layers of q_s . k_t,
    L = 1/(B S) sum_b sum_s sum_t a_st mean((r_st(f_s) - g_t)^2),

MLP being two linear layers with a ReLU, n the l2 normalisation, and r_st a projection for each pair: conv1x1, BN, ReLU,
conv3, BN, ReLU, conv1x1; the larger of two features is average-pooled to the smaller. As the MLP reads rows of G, it
works at one batch size only.

The published code has queries of B/4 values, for batches of 64, and twice the teacher's channels inside r_st. Different
here: queries have ``dim`` values, since B/4 is 1 in a batch of four; r_st has ``hidden`` channels inside at most,
because twice the 960 of a MANNER would make eleven million weights a pair; and features are averaged down to ``frames``
and ``bins`` before they are compared, because there are S x T projections. G is that of the features at full size.

It is NOT scale-free: features are compared value by value, in the teacher's units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.attention import BINS, FRAMES, AttentionLoss, Features, LayerAttention, all_pairs, shorten
from sordino.distill.layers.layer_loss import Side
from sordino.errors import InputError


def similarity_rows(feature: Tensor) -> Tensor:
    """Return G = X X^T of a batch's flattened features: [B,...] -> [B,B]."""
    flat = feature.flatten(1)
    return flat @ flat.T


def projection(inputs: int, outputs: int, hidden: int, bins: int) -> nn.Sequential:
    """Create r_st: [B,inputs,N,F] -> [B,outputs,N,F], with at most ``hidden`` channels inside.

    It does not convolve along frequency where there is a single bin.
    """
    inner, kernel = min(2 * outputs, hidden), (3, 3 if bins > 1 else 1)
    return nn.Sequential(
        nn.Conv2d(inputs, inner, 1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, inner, kernel, padding=(1, kernel[1] // 2), bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, outputs, 1, bias=False),
    )


class SemanticCalibration(AttentionLoss):
    """Attention weights and loss of SemCKD, sized by features of both networks.

    Args:
        student, teacher: examples of the features, layer by layer, of the batch size to come.
        dim: of queries and keys.
        hidden: channels inside a projection, at most.
        frames, bins: at which features are compared, at most.
    """

    def __init__(
        self, student: Features, teacher: Features, dim: int, hidden: int = 256, frames: int = FRAMES, bins: int = BINS
    ) -> None:
        super().__init__(student, teacher, dim)
        self.items, self.frames, self.bins = len(student[0]), frames, bins
        self.queries = nn.ModuleList(_mlp(self.items, dim) for _ in student)
        self.keys = nn.ModuleList(_mlp(self.items, dim) for _ in teacher)
        self.projections = nn.ModuleList()
        for feature, target in self._pairs(student, teacher):
            self.projections.append(projection(feature.shape[1], target.shape[1], hidden, target.shape[3]))

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Tensor]:
        attention = self.weights(student, teacher)
        errors = []
        for project, (feature, target) in zip(self.projections, self._pairs(student, teacher), strict=True):
            errors.append((project(feature) - target).square().flatten(1).mean(dim=1))
        table = torch.stack(errors, dim=1).view_as(attention)
        return (attention * table).sum(dim=(1, 2)).mean() / len(student), attention

    def weights(self, student: Features, teacher: Features) -> Tensor:
        """Return the weights of the teacher's layers for each student layer: [B,S,T], with a sum of 1 over T.

        Raises:
            InputError: the batch has another size than the one that this module was created for.
        """
        if len(student[0]) != self.items:
            raise InputError(
                "train.batch_size",
                f"a batch of {len(student[0])} items",
                f"{self.items}, the batch size that its attention was made for",
                "keep it as it was, or take another attention over layers",
            )
        queries, keys = _embedded(self.queries, student), _embedded(self.keys, teacher)
        return (queries @ keys.transpose(1, 2)).softmax(dim=-1)

    def _pairs(self, student: Features, teacher: Features) -> list[tuple[Tensor, Tensor]]:
        return all_pairs(shorten(student, self.frames, self.bins), shorten(teacher, self.frames, self.bins))


def _mlp(items: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(items, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))


def _embedded(mlps: nn.ModuleList, features: Features) -> Tensor:
    """Return the queries or keys of all layers, of unit length: [B,L,dim]."""
    vectors = [mlp(similarity_rows(feature)) for mlp, feature in zip(mlps, features, strict=True)]
    return torch.stack([F.normalize(vector) for vector in vectors], dim=1)


class SemanticCalibrationDistillation(LayerAttention):
    """SemCKD: projections of every student layer to every teacher layer, weighed by similarities within the batch.

    All batches must have the size of the first one, also after resuming.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``, which has four times the projections.
        dim: of queries and keys.
        hidden: channels inside a projection, at most; the published code has twice the teacher's, however many.
        frames, bins: at which features are compared, at most; longer and wider ones are averaged first.

    Raises:
        ValueError: no such side, or a number below 1.
    """

    across_items = True

    def __init__(
        self, side: Side = "encoder", dim: int = 128, hidden: int = 256, frames: int = FRAMES, bins: int = BINS
    ) -> None:
        super().__init__(side, SemanticCalibration.over, dim=dim, hidden=hidden, frames=frames, bins=bins)
        self.dim, self.hidden, self.frames, self.bins = dim, hidden, frames, bins

    def attention_loss(self, student: Features, teacher: Features) -> AttentionLoss:
        return SemanticCalibration(student, teacher, self.dim, self.hidden, self.frames, self.bins)
