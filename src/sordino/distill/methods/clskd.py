"""CLSKD: fused layers of the student should have the similarities, frame by frame, of the teacher's layers.

Cheng, Liang, Xie, Zhao, Schuller, Jia, Peng: "Cross-Layer Similarity Knowledge Distillation for Speech Enhancement",
Interspeech 2022. Each layer of the student is fused with the later layers, through gates as in ReviewKD
(``fusion.py``), and the fused feature S_i is compared with the teacher's T_i by the similarities of a batch's items,
one matrix G = n(X X^T) with rows of unit length for each frame (``similarity.py``):

    L = sum over layers of mean over frames of || G_T - G_S ||_F^2 / B^2.

The loss depends on the batch: with other items or another batch size it is another loss, and for a batch of one item it
is always 0.

Our reading, since no equations were at hand: fusion runs along frequency alone, so its kernels are (1, 3) and do not
mix frames (between layers that differ in frames, as MANNER's do, what is passed on is resampled); layers are ordered as
the signal passes them, encoder before decoder; a fused layer keeps the width of the layer; and what is passed on has
``width`` channels, so that early layers, which are long, do not become wide.

It is NOT free of parameters as SP is: the fusion learns with the student, and is dropped once that is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from sordino.distill.layers.fusion import Fusion
from sordino.distill.layers.layer_loss import LayerPairs, Side
from sordino.distill.layers.pairing import layer_taps
from sordino.distill.layers.positions import match_views
from sordino.distill.layers.resize import channels
from sordino.distill.layers.rows import needs_items
from sordino.distill.methods.similarity import similarity_distance
from sordino.types import Batch, Tap, View

KERNEL = (1, 3)
"""Frames and frequencies of the fusion's convolutions."""


class CrossLayerSimilarity(LayerPairs):
    """CLSKD; the log has the mean gates of each layer, for its own features and for those of later layers.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        width: channels of what a layer passes on to the one before.

    Raises:
        ValueError: no such side, or no width.
    """

    zero_when_equal: ClassVar[bool] = False  # a fused layer is not the layer
    across_items = True

    def __init__(self, side: Side = "both", dual_depth: bool = False, width: int = 32) -> None:
        super().__init__(side, dual_depth)
        if width < 1:
            raise ValueError(f"the width is at least 1, not {width}")
        self.width = width
        self.layers: list[str] = []
        self.fusion: Fusion | None = None

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        super().connect(student, teacher)
        self.layers = [layer for layer in layer_taps(student, self.side) if layer in self.student_taps]
        self.rows, self.columns = self.layers[:-1], ["own", "later"]

    def prepare(self, student: View, teacher: View) -> None:
        needs_items(type(self).__name__, student, 2)
        own = [channels(student.feats[layer]) for layer in self.layers]
        self.fusion = Fusion(own, own, self.width, KERNEL)

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        if self.fusion is None:
            raise RuntimeError("prepare, which creates the fusion, was not called")
        student, teacher = match_views(student, teacher, self.student_places, self.teacher_places)
        outputs, gates = self.fusion([student.feats[layer] for layer in self.layers])
        self.tables = {"gates": gates} if self.rows else {}
        fused = {}
        for layer, output in zip(self.layers, outputs, strict=True):
            fused[layer] = output.to(student.feats[layer].dtype)  # autocast may have given half precision
        distances = []
        for student_tap, teacher_tap in self.pairs:
            distances.append(similarity_distance(fused[student_tap], teacher.feats[teacher_tap], "frame_batch"))
        return torch.stack(distances).sum()
