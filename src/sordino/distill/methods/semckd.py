"""SemCKD: every student layer learns from the teacher layers that see a batch's likenesses as it does.

Chen, Mei, Zhang, Wang, Feng, Chen: "Cross-Layer Distillation with Semantic Calibration", AAAI 2021, arXiv 2012.03236.
With X [B, all else] a layer's features and G = X X^T [B,B], row b of which says how item b resembles the others,

    q_s = n(MLP_s(G_s)),   k_t = n(MLP_t(G_t)),   a_s = softmax over the TEACHER's layers of q_s . k_t,
    L = 1/(B S) sum_b sum_s sum_t a_st mean((r_st(f_s) - g_t)^2),

MLP two linear layers with a ReLU, n the l2 norm, and r_st a projection for each pair: conv1x1, BN, ReLU, conv3, BN,
ReLU, conv1x1; the larger of two features is average-pooled to the smaller. As the MLP reads rows of G, it is bound to
one batch size.

The published code has queries of B/4 values, for batches of 64, and twice the teacher's channels inside r_st. Ours:
queries of ``dim`` values, since B/4 is 1 in a batch of four; ``hidden`` channels inside r_st at most, for twice the 960
of a MANNER would make eleven million weights a pair; and features averaged down to ``frames`` and ``bins`` before they
are compared, for there are S x T projections. G is that of the features at full size.

It is NOT scale-free: features are compared value by value, in the teacher's units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.attention import BINS, FRAMES, Features, LayerAttention, Scheme, meetings, shorten
from sordino.distill.layers.layer_loss import Side
from sordino.errors import InputError


def similarity_rows(feature: Tensor) -> Tensor:
    """G = X X^T of a batch's flattened features: [B,...] -> [B,B]."""
    flat = feature.flatten(1)
    return flat @ flat.T


def projection(ours: int, theirs: int, hidden: int, bins: int) -> nn.Sequential:
    """r_st: [B,ours,N,F] -> [B,theirs,N,F], with ``hidden`` channels inside at most; no convolution over one bin."""
    inner, kernel = min(2 * theirs, hidden), (3, 3 if bins > 1 else 1)
    return nn.Sequential(
        nn.Conv2d(ours, inner, 1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, inner, kernel, padding=(1, kernel[1] // 2), bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(),
        nn.Conv2d(inner, theirs, 1, bias=False),
    )


class SemanticCalibration(Scheme):
    """Weights and loss of SemCKD, sized by features of both networks.

    Args:
        student, teacher: what the layers look like, in batches of the size to come.
        dim: of queries and keys.
        hidden: channels inside a projection, at most.
        frames, bins: at which features are compared, at most.
    """

    def __init__(
        self, student: Features, teacher: Features, dim: int, hidden: int = 256, frames: int = FRAMES, bins: int = BINS
    ) -> None:
        super().__init__(student, teacher, dim)
        self.items, self.frames, self.bins = len(student[0]), frames, bins
        self.queries, self.keys = (
            nn.ModuleList(
                nn.Sequential(nn.Linear(self.items, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim)) for _ in layers
            )
            for layers in (student, teacher)
        )
        self.projections = nn.ModuleList()
        for ours, theirs in self._meetings(student, teacher):
            self.projections.append(projection(ours.shape[1], theirs.shape[1], hidden, theirs.shape[3]))

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Tensor]:
        attention = self.weights(student, teacher)
        pairs = zip(self.projections, self._meetings(student, teacher), strict=True)
        errors = [(project(ours) - theirs).square().flatten(1).mean(dim=1) for project, (ours, theirs) in pairs]
        errors = torch.stack(errors, dim=1).view_as(attention)
        return (attention * errors).sum(dim=(1, 2)).mean() / len(student), attention

    def weights(self, student: Features, teacher: Features) -> Tensor:
        """How each student layer shares out its weight: [B,S,T].

        Raises:
            InputError: a batch of another size than the one that the scheme was made for.
        """
        if len(student[0]) != self.items:
            raise InputError(
                "train.batch_size",
                f"a batch of {len(student[0])} items",
                f"{self.items}, the batch size that its attention was made for",
                "keep it as it was, or take another attention over layers",
            )
        queries, keys = (
            torch.stack([F.normalize(mlp(similarity_rows(one))) for mlp, one in zip(mlps, layers, strict=True)], dim=1)
            for mlps, layers in ((self.queries, student), (self.keys, teacher))
        )
        return (queries @ keys.transpose(1, 2)).softmax(dim=-1)

    def _meetings(self, student: Features, teacher: Features) -> list[tuple[Tensor, Tensor]]:
        return meetings(shorten(student, self.frames, self.bins), shorten(teacher, self.frames, self.bins))


class SemanticCalibrationDistillation(LayerAttention):
    """SemCKD: projections of every student layer to every teacher layer, weighed by likeness within the batch.

    All batches must have the size of the first, in another run and after resuming too.

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

    def scheme(self, student: Features, teacher: Features) -> Scheme:
        return SemanticCalibration(student, teacher, self.dim, self.hidden, self.frames, self.bins)
