"""ALP-KD: the teacher's layers are fused by attention first, and the student's layer is compared with the result.

Passban, Wu, Rezagholizadeh, Liu: "ALP-KD: Attention-Based Layer Projection for Knowledge Distillation", AAAI 2021,
arXiv 2012.14022. With hidden states h,

    e_st = softmax over the TEACHER's layers of h_s . h_t / sqrt(d),   H_s = sum_t e_st h_t,   L = mean_s MSE(h_s, H_s).

The paper fuses all layers of a BERT, whose hidden states all have one width, and takes the state of one token.
Different here, for layers of any width and for speech: h_s is a learnt linear map of the student's features to d
channels. h_t is a FIXED random map, drawn once per number of channels with variance 1/d, which preserves inner products
on average (Johnson, Lindenstrauss 1984); a learnt one could map both networks to zero. Both are resized to the
student's size, ``frames`` and ``bins`` at most, and h_s . h_t is averaged over positions. If either network has layers
without frequencies, all frequencies count as channels.

It is NOT scale-free: loud layers of the teacher have large inner products, so large weights, and dominate the sum.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.attention import BINS, FRAMES, AttentionLoss, Features, LayerAttention, shorten
from sordino.distill.layers.layer_loss import Side
from sordino.distill.layers.resize import planes, resize_planes, same_axes


def fuse(state: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the attention of one student layer over the teacher's layers, and fuse these with it.

    Args:
        state: h_s [B,d,N,F].
        teacher: h_t of all layers [B,T,d,N,F].

    Returns:
        H_s [B,d,N,F] and e_s [B,T].
    """
    _, dim, frames, bins = state.shape
    logits = torch.einsum("bdnf,btdnf->bt", state, teacher) / (frames * bins * math.sqrt(dim))
    attention = logits.softmax(dim=-1)
    return torch.einsum("bt,btdnf->bdnf", attention, teacher), attention


class LayerProjection(AttentionLoss):
    """Attention weights and loss of ALP-KD, sized by features of both networks.

    Args:
        student, teacher: examples of the features, layer by layer.
        dim: d, of the hidden states.
        frames, bins: at which they are compared, at most.
    """

    def __init__(self, student: Features, teacher: Features, dim: int, frames: int = FRAMES, bins: int = BINS) -> None:
        super().__init__(student, teacher, dim)
        self.frames, self.bins = frames, bins
        student, teacher = self._with_same_axes(student, teacher)
        self.maps = nn.ModuleList(nn.Conv2d(feature.shape[1], dim, 1) for feature in student)
        for channels in dict.fromkeys(feature.shape[1] for feature in teacher):
            self.register_buffer(f"fixed_{channels}", torch.randn(dim, channels) / math.sqrt(dim))

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Tensor]:
        student, teacher = self._with_same_axes(student, teacher)
        targets: dict[tuple[int, int], Tensor] = {}  # by size: once shortened, most layers have the same one
        errors, rows = [], []
        for to_state, feature in zip(self.maps, student, strict=True):
            state = to_state(feature)
            size = feature.shape[2], feature.shape[3]
            if size not in targets:
                targets[size] = self._targets(teacher, *size)
            fused, attention = fuse(state, targets[size])
            errors.append(F.mse_loss(state, fused))
            rows.append(attention)
        return torch.stack(errors).mean(), torch.stack(rows, dim=1)

    def _with_same_axes(self, student: Features, teacher: Features) -> tuple[list[Tensor], list[Tensor]]:
        """Return the layers of both networks, shortened and all with the same axes: [B,C,N,F] each."""
        features = same_axes(shorten([*student, *teacher], self.frames, self.bins))
        features = [planes(feature) for feature in features]
        return features[: len(student)], features[len(student) :]

    def _targets(self, teacher: Features, frames: int, bins: int) -> Tensor:
        """Return h_t of all layers at one size: [B,T,d,frames,bins]."""
        states = []
        for feature in teacher:
            fixed_map = self.get_buffer(f"fixed_{feature.shape[1]}")
            states.append(torch.einsum("dc,bcnf->bdnf", fixed_map, resize_planes(feature, frames, bins)))
        return torch.stack(states, dim=1)


class AttentionLayerProjection(LayerAttention):
    """ALP-KD: every student layer learns from one fusion of all the teacher's layers.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dim: d, of the hidden states.
        frames, bins: at which they are compared, at most; longer and wider ones are averaged first.

    Raises:
        ValueError: no such side, or a number below 1.
    """

    def __init__(self, side: Side = "both", dim: int = 128, frames: int = FRAMES, bins: int = BINS) -> None:
        super().__init__(side, LayerProjection.over, dim=dim, frames=frames, bins=bins)
        self.dim, self.frames, self.bins = dim, frames, bins

    def attention_loss(self, student: Features, teacher: Features) -> AttentionLoss:
        return LayerProjection(student, teacher, self.dim, self.frames, self.bins)
