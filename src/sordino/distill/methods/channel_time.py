"""Attention transfer in time and in channels, as in Distil-DCCRN.

Han, Xu, Zhang, Liu, Xie: "Distil-DCCRN: A Small-Footprint DCCRN Leveraging Feature-Based Knowledge Distillation in
Speech Enhancement", IEEE SPL 31, 2024, arXiv 2408.04267: attention transfer along time and along channels, with the
Kullback-Leibler divergence between the distributions of teacher and student, beside output distillation, which has its
own method here (``output``).

Our reading, since no equations were at hand: the energy of a feature A, averaged over channels and
frequencies for each frame and over frames and frequencies for each channel, is divided by its mean and becomes a
distribution,

    p = softmax( E / (mean(E) tau) ),   L = KL(p^T_time || p^S_time) + KL(p^T_channel || p^S_channel).

Maps over time have the student's frames. For maps over channels, where the numbers of channels differ, a learnt 1x1
convolution gives the student's feature as many as the teacher's. Either part can be left out by its weight.

It is NOT a loss on a feature's level: the mean is divided out. A map that is silent throughout is uniform.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.layer_loss import LayerPairs, Side, pointwise, to_channels
from sordino.distill.layers.resize import energy, resample_time
from sordino.types import View

ENERGY_FLOOR = 1e-12


def time_energy(feature: Tensor) -> Tensor:
    """Return the mean square over channels and frequencies: [B,C,N] or [B,C,N,F] -> [B,N]."""
    return energy(feature).mean(dim=-1)


def channel_energy(feature: Tensor) -> Tensor:
    """Return the mean square over frames and frequencies: [B,C,N] or [B,C,N,F] -> [B,C]."""
    return feature.square().flatten(2).mean(dim=-1)


def divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(p^T || p^S) of the distributions of two maps of energy [B,M], averaged over the batch: a scalar."""
    estimate, target = _log_distribution(student, temperature), _log_distribution(teacher, temperature)
    return F.kl_div(estimate, target, reduction="batchmean", log_target=True)


def _log_distribution(energies: Tensor, temperature: float) -> Tensor:
    """Return log p of maps of energy [B,M]."""
    mean = energies.mean(dim=-1, keepdim=True).clamp(min=ENERGY_FLOOR)
    return F.log_softmax(energies / (mean * temperature), dim=-1)


class ChannelTime(LayerPairs):
    """Attention transfer by the divergence of distributions of energy, over time and over channels.

    Args:
        time_weight: of the divergence over time.
        channel_weight: of the divergence over channels.
        temperature: tau; above 1 the distributions are flatter.
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.

    Raises:
        ValueError: no such side, a weight below 0 or none above it, or a temperature that is not above 0.
    """

    def __init__(
        self,
        time_weight: float = 1.0,
        channel_weight: float = 1.0,
        temperature: float = 1.0,
        side: Side = "both",
        dual_depth: bool = False,
    ) -> None:
        super().__init__(side, dual_depth)
        if min(time_weight, channel_weight) < 0 or time_weight + channel_weight == 0:
            raise ValueError(f"weights are 0 or more, one of them above 0, not {time_weight} and {channel_weight}")
        if temperature <= 0:
            raise ValueError(f"the temperature is above 0, not {temperature}")
        self.time_weight, self.channel_weight, self.temperature = time_weight, channel_weight, temperature
        self.widths = nn.ModuleList()

    def prepare(self, student: View, teacher: View) -> None:
        if self.channel_weight:
            self.widths = nn.ModuleList(to_channels(*pair) for pair in self.features(student, teacher))

    def distance(self, pair: int, student: Tensor, teacher: Tensor) -> Tensor:
        total = student.new_zeros(())
        if self.time_weight:
            target = resample_time(time_energy(teacher).unsqueeze(1), student.shape[2]).squeeze(1)
            total = total + self.time_weight * divergence(time_energy(student), target, self.temperature)
        if self.channel_weight:
            widened = pointwise(self.widths[pair], student)
            distance = divergence(channel_energy(widened), channel_energy(teacher), self.temperature)
            total = total + self.channel_weight * distance
        return total
