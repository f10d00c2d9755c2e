"""ReviewKD: every teacher layer teaches a fusion of the student's layer of the same depth and all later ones.

Chen, Liu, Zhao, Jia: "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv 2104.09044. The student's layers are
fused from the last to the first by learnt gates (``sordino.distill.layers.fusion``), and each fused feature is compared
with the teacher's layer of the same depth by the hierarchical context loss: with A_l the average pooling to l x l,

    L = sum over layers of (MSE(f,g) + 1/2 MSE(A_4) + 1/4 MSE(A_2) + 1/8 MSE(A_1)) / (1 + 1/2 + 1/4 + 1/8),

where levels that are not smaller than the feature are left out of the sum and of the weights. The division is the
published code's; what the code passes on has the last layer's channels, 512 at most. Fused features have the size of
the teacher's.

Different here: the paper has the stages of a backbone, which here is the encoder; with ``side: both`` the layers are in
the order in which a signal passes them, so that the decoder's last layer is the last. What is passed on has the
channels of the widest layer, since a decoder's last layer has one or two. Features longer than ``frames`` are averaged
first. Where only one network has frequencies, they count as its channels.

It is NOT scale-free: features are compared value by value, in the teacher's units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.distill.layers.fusion import Fusion
from sordino.distill.layers.layer_loss import LayerPairs, Side
from sordino.distill.layers.resize import planes, resize_planes, same_axes
from sordino.types import Batch, Tap, View

LEVELS = (4, 2, 1)


def context_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the hierarchical context loss of two features [B,C,N,F] of the same size: a scalar.

    Level l is pooled to l frames, and to l bins where there are more.
    """
    frames, bins = student.shape[2:]
    total = F.mse_loss(student, teacher)
    weight = weights = 1.0
    for level in LEVELS:
        if level < frames:
            weight /= 2
            weights += weight
            size = level, min(level, bins)
            total = total + weight * F.mse_loss(resize_planes(student, *size), resize_planes(teacher, *size))
    return total / weights


class KnowledgeReview(LayerPairs):
    """ReviewKD: pairs of layers, in which each of the student's is fused with all later ones.

    ``figures`` returns the mean gates: a row for each pair but the last, with the weight of the layer's own features
    and that of later layers.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        width: channels passed on from layer to layer, at most.
        frames: at which features are fused and compared, at most; longer ones are averaged first.

    Raises:
        ValueError: no such side, or a number below 1.
    """

    zero_when_equal: ClassVar[bool] = False  # the fusion does not begin as the identity
    one_span: ClassVar[bool] = True
    fusion: Fusion

    def __init__(self, side: Side = "encoder", dual_depth: bool = True, width: int = 512, frames: int = 4096) -> None:
        super().__init__(side, dual_depth)
        if width < 1 or frames < 1:
            raise ValueError(f"width and frames are 1 or more, not {width} and {frames}")
        self.width, self.frames = width, frames

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        super().connect(student, teacher)
        encoder = [pair for pair in self.pairs if not pair[0].startswith("decoder")]
        decoder = [pair for pair in self.pairs if pair[0].startswith("decoder")]
        # The signal passes the deepest layer of the decoder first.
        self.pairs = encoder + decoder[::-1]
        self.rows = [f"{student_tap} for {teacher_tap}" for student_tap, teacher_tap in self.pairs[:-1]]
        self.columns = ["own", "later"]

    def prepare(self, student: View, teacher: View) -> None:
        pairs = self.features(student, teacher)
        channels = [feature.shape[1] for feature, _ in pairs]
        targets = [target.shape[1] for _, target in pairs]
        width = min(self.width, max(channels))
        has_frequencies = any(target.shape[3] > 1 for _, target in pairs)
        kernel = (3, 3) if has_frequencies else (3, 1)
        self.fusion = Fusion(channels, targets, width, kernel).to(student.wave.device)

    def features(self, student: View, teacher: View) -> list[tuple[Tensor, Tensor]]:
        """Return the features of both networks, pair by pair: [B,C,N,F], with at most ``frames`` frames."""
        pairs = []
        for pair in super().features(student, teacher):
            feature, target = same_axes(pair)
            pairs.append((self._shorten(feature), self._shorten(target)))
        return pairs

    def _shorten(self, feature: Tensor) -> Tensor:
        feature = planes(feature)
        return resize_planes(feature, min(feature.shape[2], self.frames), feature.shape[3])

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        # The squares of large features need single precision.
        with torch.autocast(student.wave.device.type, enabled=False):
            features, targets = zip(*self.features(student, teacher), strict=True)
            sizes = [(target.shape[2], target.shape[3]) for target in targets]
            fused, gates = self.fusion(features, sizes)
            distances = [context_distance(*pair) for pair in zip(fused, targets, strict=True)]
        self.tables = {"gates": gates} if len(gates) else {}
        return torch.stack(distances).sum()
