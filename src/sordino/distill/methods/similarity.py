"""Similarity: rows of a feature should be as similar to each other as in the teacher.

Rows X of a feature, [R,D], have the similarities G = n(X X^T), where n scales each row of the Gram matrix to unit
length. The loss of a pair of layers is || G_T - G_S ||_F^2 / R^2. Only the number of rows must agree: widths are free.
The axis determines what a row is:

* ``batch``: an item, all of its feature. SP, similarity-preserving distillation (Tung, Mori, ICCV 2019, arXiv
  1907.09682).
* ``frame_batch``: an item again, but one matrix for each frame, [B,C F] -> [B,B], and their mean. The frame-level
  similarity of CLSKD (Cheng et al., Interspeech 2022); the method with its fused layers is in ``clskd.py``.
* ``intra_time``: a frame of one item, [N,C F] -> [N,N], and the mean over items.
* ``intra_frequency``: a frequency of one item, [F,C N] -> [F,F], and the mean over items.

The last two are the intra-activation Gram matrices of Nathoo, Kegler, Stamenovic: "Two-Step Knowledge Distillation for
Tiny Speech Enhancement", ICASSP 2024, arXiv 2309.08144. Its stages (this loss alone, then supervision alone with the
optimiser and its schedule begun anew) belong to a recipe.

With rows over the batch the loss depends on the batch: with other items or another batch size it is another loss, and
for a batch of one item it is always 0. With rows within an item it does not.

Our reading: within an item, n is applied as in SP; time is averaged down to at most ``frames`` rows, so that no matrix
grows with the square of a signal's length; frequencies are resampled to the lower of the two counts; and a row whose
products are all below 1e-4 of the mean square of rows counts as silent: neither the row nor its gradient is scaled up.

It is NOT a loss on the features' values: a rotation of channels is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.distill.layers.layer_loss import LayerPairs, Side
from sordino.distill.layers.rows import SILENCE, Axis, needs_items, paired_rows, products
from sordino.errors import InputError
from sordino.types import Tap, View


def similarity(rows: Tensor) -> Tensor:
    """Return G = n(X X^T): [...,R,D] -> [...,R,R], with rows of unit length."""
    return F.normalize(products(rows), dim=-1, eps=SILENCE)


def similarity_distance(student: Tensor, teacher: Tensor, axis: Axis = "batch", frames: int = 256) -> Tensor:
    """Return || G_T - G_S ||_F^2 / R^2 of two features along one axis, averaged over the groups of rows: a scalar.

    Args:
        student, teacher: [B,C,N] or [B,C,N,F] each; ``intra_frequency`` needs both to have frequencies.
        axis: what a row is.
        frames: largest number of rows in time that are compared within an item.
    """
    student, teacher = paired_rows(student, teacher, axis, frames)
    return (similarity(teacher) - similarity(student)).square().mean()


class Similarity(LayerPairs):
    """Similarity-preserving distillation along one or more axes, whose losses are summed.

    Args:
        axes: some of ``batch`` (SP), ``frame_batch``, ``intra_time``, ``intra_frequency``. The last skips pairs of
            layers of which one has no frequencies.
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        frames: largest number of rows in time that are compared within an item.

    Raises:
        ValueError: no axis or no such axis, no such side, or fewer than 2 frames.
    """

    def __init__(
        self, axes: Sequence[Axis] = ("batch",), side: Side = "both", dual_depth: bool = False, frames: int = 256
    ) -> None:
        super().__init__(side, dual_depth)
        if not axes or not set(axes) <= set(get_args(Axis)):
            raise ValueError(f"axes are some of {', '.join(get_args(Axis))}, not {list(axes)}")
        if frames < 2:
            raise ValueError(f"at least 2 frames can be compared, not {frames}")
        self.axes: tuple[Axis, ...] = tuple(axes)
        self.across_items = not {"batch", "frame_batch"}.isdisjoint(axes)
        self.frames = frames

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        super().connect(student, teacher)
        both = ["F" in student[first].axes and "F" in teacher[second].axes for first, second in self.pairs]
        if set(self.axes) == {"intra_frequency"} and not any(both):
            hint = "add another axis, such as intra_time, or choose networks on spectra"
            raise InputError(type(self).__name__, "student and teacher share no layers with frequencies", hint=hint)

    def prepare(self, student: View, teacher: View) -> None:
        if self.across_items:
            needs_items(type(self).__name__, student, 2)

    def distance(self, pair: int, student: Tensor, teacher: Tensor) -> Tensor:
        have_frequencies = student.ndim == teacher.ndim == 4
        distances = []
        for axis in self.axes:
            if have_frequencies or axis != "intra_frequency":
                distances.append(similarity_distance(student, teacher, axis, self.frames))
        return torch.stack(distances).sum() if distances else student.new_zeros(())


class TwoStep(Similarity):
    """First step of two-step distillation: similarities within each item, of frames and of frequencies.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        frames: largest number of rows in time that are compared.

    Raises:
        ValueError: no such side, or fewer than 2 frames.
    """

    def __init__(self, side: Side = "both", dual_depth: bool = False, frames: int = 256) -> None:
        super().__init__(("intra_time", "intra_frequency"), side, dual_depth, frames)
