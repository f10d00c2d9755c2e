"""Variational information distillation: the teacher's features, as far as the student's can tell them.

Ahn, Hu, Damianou, Lawrence, Dai: "Variational Information Distillation for Knowledge Transfer", CVPR 2019, arXiv
1904.05835. A bound on the mutual information of teacher t and student s is the likelihood of t under a
Gaussian whose mean is a network of s and whose variance is learnt per channel:

    - log q(t | s) = sum over channels c and points of  log sigma_c + (t_c - mu_c(s))^2 / (2 sigma_c^2) + constant,
    sigma_c^2 = log(1 + exp(alpha_c)) + epsilon.

So a channel that the student cannot tell gets a large variance and little weight: the loss finds its own scale.

Our reading: mu is two 1x1 convolutions with a ReLU between, as wide as the teacher; the sum is a mean over channels
and points, so that the size of a layer does not weigh; all variances begin at 5, as in published code.

It is NOT bounded by 0: once variances fall below 1, the loss does too, and only its differences tell anything.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.layer_loss import Paired, Side, aligned, pointwise
from sordino.types import View

VARIANCE_FLOOR = 1e-5


def negative_log_likelihood(mean: Tensor, variance: Tensor, target: Tensor) -> Tensor:
    """Of a Gaussian, without its constant: ``target``, ``mean`` [B,C,...], ``variance`` [C] -> mean over all values."""
    spread = variance.view(-1, *(1,) * (target.ndim - 2))
    return (0.5 * (spread.log() + (target - mean).square() / spread)).mean()


def _unsoftplus(value: float) -> float:
    """log(exp(value) - 1), for large values too."""
    return value + math.log(-math.expm1(-value))


class Gaussian(nn.Module):
    """q(t | s): the mean from a student's feature [B,C,N] to a teacher's [B,C',N], and a variance per channel.

    Args:
        ours, theirs: C and C'.
        variance: at first.
    """

    def __init__(self, ours: int, theirs: int, variance: float) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Conv1d(ours, theirs, 1), nn.ReLU(), nn.Conv1d(theirs, theirs, 1))
        self.alpha = nn.Parameter(torch.full((theirs,), _unsoftplus(variance - VARIANCE_FLOOR)))

    def forward(self, feature: Tensor, target: Tensor) -> Tensor:
        """The loss of one pair, a scalar."""
        return negative_log_likelihood(pointwise(self.mean, feature), F.softplus(self.alpha) + VARIANCE_FLOOR, target)


class Variational(Paired):
    """Variational information distillation; the log has the mean standard deviation, pair by pair.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        variance: with which every channel begins.

    Raises:
        ValueError: no such side, or no variance.
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
        pairs = [aligned(ours, theirs) for ours, theirs in self.features(student, teacher)]
        self.gaussians = nn.ModuleList(
            Gaussian(ours.shape[1], theirs.shape[1], self.variance) for ours, theirs in pairs
        )

    def figures(self) -> dict[str, Tensor]:
        alphas = [one.alpha.detach() for one in self.gaussians if isinstance(one, Gaussian)]
        return (
            {"deviation": torch.stack([F.softplus(alpha).sqrt().mean() for alpha in alphas])[:, None]} if alphas else {}
        )

    def distance(self, pair: int, ours: Tensor, theirs: Tensor) -> Tensor:
        return self.gaussians[pair](*aligned(ours, theirs))
