"""Variational information distillation: the student's features should predict the teacher's.

Ahn, Hu, Damianou, Lawrence, Dai: "Variational Information Distillation for Knowledge Transfer", CVPR 2019, arXiv
1904.05835. A bound on the mutual information of teacher t and student s is the likelihood of t under a
Gaussian whose mean is a network of s and whose variance is learnt per channel:

    - log q(t | s) = sum over channels c and points of  log sigma_c + (t_c - mu_c(s))^2 / (2 sigma_c^2) + constant,
    sigma_c^2 = log(1 + exp(alpha_c)) + epsilon.

So a channel that the student cannot predict gets a large variance and little weight: the loss finds its own scale.

Our reading: mu is two 1x1 convolutions with a ReLU between, as wide as the teacher; the sum is a mean over channels
and points, so that large layers do not weigh more; all variances begin at 5, as in published code.

It is NOT bounded by 0: as variances fall below 1 the loss falls below 0, and only its differences mean something.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.layer_loss import LayerPairs, Side, aligned, pointwise
from sordino.types import View

VARIANCE_FLOOR = 1e-5


def negative_log_likelihood(mean: Tensor, variance: Tensor, target: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of ``target`` under a Gaussian, without its constant: a scalar.

    Args:
        mean, target: [B,C,...].
        variance: [C].
    """
    per_channel = variance.view(-1, *(1,) * (target.ndim - 2))
    return (0.5 * (per_channel.log() + (target - mean).square() / per_channel)).mean()


def _inverse_softplus(value: float) -> float:
    """Return log(exp(value) - 1), without overflow for large values."""
    return value + math.log(-math.expm1(-value))


class Gaussian(nn.Module):
    """Distribution q(t | s): a network from the student's feature [B,C,N] to the mean [B,C',N], and C' variances.

    Args:
        student, teacher: channels C and C'.
        variance: initial variance of every channel.
    """

    def __init__(self, student: int, teacher: int, variance: float) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Conv1d(student, teacher, 1), nn.ReLU(), nn.Conv1d(teacher, teacher, 1))
        self.alpha = nn.Parameter(torch.full((teacher,), _inverse_softplus(variance - VARIANCE_FLOOR)))

    def forward(self, feature: Tensor, target: Tensor) -> Tensor:
        """Return the loss of one pair, a scalar."""
        variance = F.softplus(self.alpha) + VARIANCE_FLOOR
        return negative_log_likelihood(pointwise(self.mean, feature), variance, target)


class Variational(LayerPairs):
    """Variational information distillation; the log has the mean standard deviation of each pair.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        variance: initial variance of every channel.

    Raises:
        ValueError: no such side, or a variance that is not above 0.
    """

    zero_when_equal: ClassVar[bool] = False  # a likelihood has no zero

    def __init__(self, side: Side = "both", dual_depth: bool = False, variance: float = 5.0) -> None:
        super().__init__(side, dual_depth)
        if variance <= VARIANCE_FLOOR:
            raise ValueError(f"the variance is above {VARIANCE_FLOOR}, not {variance}")
        self.variance = variance
        self.gaussians = nn.ModuleList()
        self.columns = ["deviation"]

    def prepare(self, student: View, teacher: View) -> None:
        channels = self.channel_pairs(student, teacher)
        self.gaussians = nn.ModuleList(Gaussian(*pair, self.variance) for pair in channels)

    def figures(self) -> dict[str, Tensor]:
        deviations = []
        for gaussian in self.gaussians:
            if isinstance(gaussian, Gaussian):
                deviations.append(F.softplus(gaussian.alpha.detach()).sqrt().mean())
        return {"deviation": torch.stack(deviations)[:, None]} if deviations else {}

    def distance(self, pair: int, student: Tensor, teacher: Tensor) -> Tensor:
        return self.gaussians[pair](*aligned(student, teacher))
