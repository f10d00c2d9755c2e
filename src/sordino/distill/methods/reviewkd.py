"""ReviewKD: early layers of the teacher teach all later layers of the student, fused.

Chen, Liu, Zhao, Jia: "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv 2104.09044. The student's layers are
fused from the last to the first by learnt gates (``sordino.distill.layers.fusion``), and each fused feature is compared
with the teacher's layer of the same place by the hierarchical context loss: with A_l the average pooling to l x l,

    L = sum over layers of (MSE(f,g) + 1/2 MSE(A_4) + 1/4 MSE(A_2) + 1/8 MSE(A_1)) / (1 + 1/2 + 1/4 + 1/8),

levels that are not smaller than the feature being left out, of the sum and of the weights. The division is the
published code's; it passes on the last layer's channels, 512 at most. Fused features have the size of the teacher's.

Ours: the paper has the stages of a backbone, which for us is the encoder; with ``side: both`` the layers stand in the
order in which a signal passes them, so that the decoder's last layer is the last. What is passed on has the channels of
the widest layer, since a decoder's last has one or two. Features longer than ``frames`` are averaged first. Where only
one network has frequencies, they count as its channels.

It is NOT scale-free: features are compared value by value, in the teacher's units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.distill.layers.fusion import Fusion
from sordino.distill.layers.layer_loss import Paired, Side
from sordino.distill.layers.resize import alike, planes, resize_planes
from sordino.types import Batch, Tap, View

LEVELS = (4, 2, 1)


def context_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Hierarchical context loss of two features of one size: [B,C,N,F], [B,C,N,F] -> scalar.

    A level is pooled to as many frames, and to as many bins where there are more.
    """
    frames, bins = student.shape[2:]
    total, weight, weights = F.mse_loss(student, teacher), 1.0, 1.0
    for level in LEVELS:
        if level < frames:
            weight /= 2
            weights += weight
            ours, theirs = (resize_planes(one, level, min(level, bins)) for one in (student, teacher))
            total = total + weight * F.mse_loss(ours, theirs)
    return total / weights


class KnowledgeReview(Paired):
    """ReviewKD: layers of equal depth, each of the student's fused with all that come after it.

    ``figures`` shows how far the gates were open on average: a row for each pair but the last, with the weight of the
    layer's own features and that of the later ones.

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
        self._openings: Tensor | None = None

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        super().connect(student, teacher)
        # Deepest first in the decoder, as the signal passes it.
        ups = [pair for pair in self.pairs if pair[0].startswith("decoder")]
        self.pairs = [pair for pair in self.pairs if pair not in ups] + ups[::-1]
        self.rows = [f"{ours} for {theirs}" for ours, theirs in self.pairs[:-1]]
        self.columns = ["own", "later"]

    def prepare(self, student: View, teacher: View) -> None:
        pairs = self.features(student, teacher)
        channels = [ours.shape[1] for ours, _ in pairs]
        kernel = (3, 3 if any(theirs.shape[3] > 1 for _, theirs in pairs) else 1)
        targets = [theirs.shape[1] for _, theirs in pairs]
        self.fusion = Fusion(channels, targets, min(self.width, max(channels)), kernel).to(student.wave.device)

    def features(self, student: View, teacher: View) -> list[tuple[Tensor, Tensor]]:
        """The features of both networks, pair by pair: [B,C,N,F], no longer than ``frames``."""
        pairs = (alike(pair) for pair in super().features(student, teacher))
        return [(self._short(ours), self._short(theirs)) for ours, theirs in pairs]

    def _short(self, feature: Tensor) -> Tensor:
        feature = planes(feature)
        return resize_planes(feature, min(feature.shape[2], self.frames), feature.shape[3])

    def figures(self) -> dict[str, Tensor]:
        return {} if self._openings is None else {"gates": self._openings}

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        # The squares of large features ask for single precision.
        with torch.autocast(student.wave.device.type, enabled=False):
            ours, theirs = zip(*self.features(student, teacher), strict=True)
            fused, openings = self.fusion(ours, [(one.shape[2], one.shape[3]) for one in theirs])
            distances = [context_distance(one, target) for one, target in zip(fused, theirs, strict=True)]
        self._openings = openings if len(openings) else None
        return torch.stack(distances).sum()
