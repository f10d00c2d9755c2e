"""FSP, flow of a solution procedure: products of features of successive layers should equal the teacher's.

Yim, Joo, Bae, Kim: "A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer
Learning", CVPR 2017, Eq. 1 and 2. The flow of a solution procedure between layers F1 [C1,...] and F2 [C2,...] is the
matrix of their products, averaged over the points of the feature, and the loss is the squared difference of matrices:

    G = 1/P sum over points p of F1_p F2_p^T, [C1,C2];   L = sum over flows of mean || G_T - G_S ||_F^2.

Points are averaged out, so teacher and student may differ in frame rate and in frequencies, even in having them.

Our reading: a flow leads from each paired layer to the next on the same side of the network; the longer of the two
layers is averaged down to the shorter's frames and bins, where the paper pools by maxima; the norm is a mean over the
matrix and the batch; and where widths differ, which the paper does not allow, a learnt 1x1 convolution gives the
student's layer the teacher's channels.

It is NOT scale-free: G grows with the square of the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from sordino.distill.layers.layer_loss import LayerPairs, Side, pointwise, to_channels
from sordino.distill.layers.resize import planes, resize_planes
from sordino.errors import InputError
from sordino.types import Batch, Tap, View


def flow(first: Tensor, second: Tensor) -> Tensor:
    """Return the FSP matrix of two layers of one network: [B,C1,...], [B,C2,...] -> [B,C1,C2]."""
    first, second = planes(first), planes(second)
    size = min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3])
    first, second = resize_planes(first, *size).flatten(2), resize_planes(second, *size).flatten(2)
    # Sums over thousands of points need single precision.
    with torch.autocast(first.device.type, enabled=False):
        return first @ second.transpose(1, 2) / first.shape[-1]


class Flow(LayerPairs):
    """Flow of a solution procedure: FSP matrices between successive layers.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``; no flow leads from one to the other.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.

    Raises:
        ValueError: no such side.
    """

    one_span: ClassVar[bool] = True

    def __init__(self, side: Side = "both", dual_depth: bool = False) -> None:
        super().__init__(side, dual_depth)
        self.flows: list[tuple[int, int]] = []
        self.widths = nn.ModuleList()

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        super().connect(student, teacher)
        sides = [student_tap.partition(".")[0] for student_tap, _ in self.pairs]
        self.flows = [(i, i + 1) for i in range(len(sides) - 1) if sides[i] == sides[i + 1]]
        if not self.flows:
            found = "student and teacher share one layer, and a flow leads from layer to layer"
            raise InputError(type(self).__name__, found, "two layers on a side", "choose deeper networks")

    def prepare(self, student: View, teacher: View) -> None:
        self.widths = nn.ModuleList(to_channels(*pair) for pair in self.features(student, teacher))

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        features, targets = [], []
        for width, (feature, target) in zip(self.widths, self.features(student, teacher), strict=True):
            features.append(pointwise(width, feature))
            targets.append(target)
        distances = []
        for i, j in self.flows:
            difference = flow(targets[i], targets[j]) - flow(features[i], features[j])
            distances.append(difference.square().mean())
        return torch.stack(distances).sum()
