"""FitNets: the student's features, mapped by a learnt regressor, should equal the teacher's.

Romero, Ballas, Kahou, Chassang, Gatta, Bengio: "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550, Eq. 3:
L_HT = 1/2 || u_h(x) - r(v_g(x)) ||^2, with u_h the teacher's hint layer, v_g the student's guided layer and r a
regressor that makes up for the difference in width. The regressor is dropped once the student is trained.

Our reading: r is a 1x1 convolution with batch norm, where the paper has a larger kernel and maxout; the squares are
averaged over items, channels and points, without the factor 1/2, so the loss depends on the scale of the teacher's
features and not on their size; and every pair of layers is a hint, where the paper has one. The paper trains up to the
hint first and the whole network afterwards; a recipe can do that with two stages.

It is NOT scale-free: the student's regressor has to learn the teacher's scale, channel by channel.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.layer_loss import LayerPairs, Side, aligned, pointwise
from sordino.types import View


def regressor(inputs: int, outputs: int, norm: bool = True) -> nn.Sequential:
    """Create r, a 1x1 convolution of [B,inputs,N] to [B,outputs,N] with batch norm, or with a bias instead."""
    if norm:
        return nn.Sequential(nn.Conv1d(inputs, outputs, 1, bias=False), nn.BatchNorm1d(outputs))
    return nn.Sequential(nn.Conv1d(inputs, outputs, 1))


class FitNets(LayerPairs):
    """Hints: mean squared difference between regressed features of the student and features of the teacher.

    Where both networks have frequencies, the teacher's are resampled to the student's. Where only one has them, they
    count as channels, and the regressor is wider accordingly.

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
        channels = self.channel_pairs(student, teacher)
        self.regressors = nn.ModuleList(regressor(*pair, self.norm) for pair in channels)

    def distance(self, pair: int, student: Tensor, teacher: Tensor) -> Tensor:
        student, teacher = aligned(student, teacher)
        return F.mse_loss(pointwise(self.regressors[pair], student), teacher)
