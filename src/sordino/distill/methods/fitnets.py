"""FitNets: the student's features, through a learnt regressor, are to equal the teacher's.

Romero, Ballas, Kahou, Chassang, Gatta, Bengio: "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550, Eq. 3:
L_HT = 1/2 || u_h(x) - r(v_g(x)) ||^2, u_h the teacher's hint layer, v_g the student's guided layer and r a regressor
that makes up for the difference in width. The regressor goes once the student is trained.

Our reading: r is a 1x1 convolution with batch norm, where the paper has a larger kernel and maxout; the squares are
averaged over items, channels and points, so the loss depends on the scale of the teacher's features and not on their
size; and every pair of layers is a hint, where the paper has one. The paper trains up to the hint first and the whole
network afterwards; that is a schedule, and belongs to a recipe.

It is NOT scale-free: the student's regressor has to learn the teacher's scale, channel by channel.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.layer_loss import Paired, Side, aligned, pointwise
from sordino.types import View


def regressor(ours: int, theirs: int, norm: bool = True) -> nn.Sequential:
    """r: a 1x1 convolution from ``ours`` to ``theirs`` channels, with batch norm (or a bias instead): [B,C,N]."""
    layers: list[nn.Module] = [nn.Conv1d(ours, theirs, 1, bias=not norm)]
    return nn.Sequential(*layers, *([nn.BatchNorm1d(theirs)] if norm else []))


class FitNets(Paired):
    """Hints: mean squared difference between regressed features of the student and features of the teacher.

    Where both networks have frequencies, the teacher's are brought to the student's; where only one has, its
    frequencies count as channels, and the regressor grows accordingly.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        norm: batch norm after the regressor's convolution.

    Raises:
        ValueError: no such side.
    """

    zero_when_equal: ClassVar[bool] = False  # the regressor does not begin as the identity

    def __init__(self, side: Side = "both", dual_depth: bool = False, norm: bool = True) -> None:
        super().__init__(side, dual_depth)
        self.norm = norm
        self.regressors = nn.ModuleList()

    def prepare(self, student: View, teacher: View) -> None:
        pairs = [aligned(ours, theirs) for ours, theirs in self.features(student, teacher)]
        self.regressors = nn.ModuleList(regressor(ours.shape[1], theirs.shape[1], self.norm) for ours, theirs in pairs)

    def distance(self, pair: int, ours: Tensor, theirs: Tensor) -> Tensor:
        ours, theirs = aligned(ours, theirs)
        return F.mse_loss(pointwise(self.regressors[pair], ours), theirs)
