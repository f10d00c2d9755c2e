"""Similarity: what is alike for the teacher is to be alike for the student.

Rows X of a feature, [R,D], have the similarities G = n(X X^T), n scaling each row of the Gram matrix to unit length;
the loss of a pair of layers is || G_T - G_S ||_F^2 / R^2. Only the number of rows must agree: widths are free. What a
row is, the axis says:

* ``batch``: an item, all of its feature. SP, similarity-preserving distillation (Tung, Mori, ICCV 2019, arXiv
  1907.09682).
* ``frame_batch``: an item again, but one matrix for each frame, [B,C F] -> [B,B], and their mean. The frame-level
  similarity of CLSKD (Cheng et al., Interspeech 2022); the method with its fused layers is in ``clskd.py``.
* ``intra_time``: a frame of one item, [N,C F] -> [N,N], and the mean over items.
* ``intra_frequency``: a frequency of one item, [F,C N] -> [F,F], and the mean over items.

The last two are the intra-activation Gram matrices of Nathoo, Kegler, Stamenovic: "Two-Step Knowledge Distillation for
Tiny Speech Enhancement", ICASSP 2024, arXiv 2309.08144. Its stages (this loss alone, then supervision alone with the
optimiser and its schedule begun anew) belong to a recipe.

Over the batch, the loss is bound to the batch: other items or another batch size are another loss, and a batch of one
teaches nothing. Within an item it is not.

Our reading: within an item, n is applied as in SP; time is averaged down to at most ``frames`` rows, so that no matrix
grows with the square of a signal's length; frequencies are brought to the lower of the two counts; and a row whose
products are all below 1e-4 of the mean square of rows counts as silent: it is not blown up to unit length, nor is its
gradient.

It is NOT a loss on the features' values: a rotation of channels is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.distill.layers.layer_loss import Paired, Side
from sordino.distill.layers.resize import fold, resample_time, resize_planes
from sordino.errors import InputError
from sordino.types import Tap, View

Axis = Literal["batch", "frame_batch", "intra_time", "intra_frequency"]

SILENCE = 1e-4
"""Length of a row of products, over rows of root mean square length 1, below which the row is not normalised."""
NORM_FLOOR = 1e-12


def rows(feature: Tensor, axis: Axis, count: int) -> Tensor:
    """Groups of rows to compare with each other: [B,C,N] or [B,C,N,F] -> [groups, rows, values].

    Args:
        feature: of one network.
        axis: what a row is.
        count: frames to resample to (``frame_batch``, ``intra_time``), or frequencies (``intra_frequency``).
    """
    if axis == "batch":
        return feature.flatten(1).unsqueeze(0)
    if axis == "intra_frequency":
        return resize_planes(feature, feature.shape[2], count).permute(0, 3, 1, 2).flatten(2)
    folded = resample_time(fold(feature), count)
    return folded.permute(2, 0, 1) if axis == "frame_batch" else folded.transpose(1, 2)


def paired_rows(ours: Tensor, theirs: Tensor, axis: Axis, frames: int) -> tuple[Tensor, Tensor]:
    """The rows of two features, as many of each: the student's frames, or the lower count of frames or frequencies."""
    count = ours.shape[2] if axis == "frame_batch" else min(ours.shape[2], theirs.shape[2], frames)
    if axis == "intra_frequency":
        count = min(ours.shape[3], theirs.shape[3])
    return rows(ours, axis, count), rows(theirs, axis, count)


def products(rows: Tensor) -> Tensor:
    """Inner products of rows, [...,R,D] -> [...,R,R], over rows scaled to a root mean square length of 1."""
    length = torch.linalg.vector_norm(rows, dim=(-2, -1), keepdim=True) / rows.shape[-2] ** 0.5
    scaled = rows / length.clamp(min=NORM_FLOOR)
    # Half precision would drown the small differences between similarities that this is about.
    with torch.autocast(rows.device.type, enabled=False):
        return scaled @ scaled.transpose(-2, -1)


def similarity(rows: Tensor) -> Tensor:
    """G = n(X X^T): [...,R,D] -> [...,R,R], rows of unit length."""
    return F.normalize(products(rows), dim=-1, eps=SILENCE)


def similarity_distance(ours: Tensor, theirs: Tensor, axis: Axis = "batch", frames: int = 256) -> Tensor:
    """|| G_T - G_S ||_F^2 / R^2 of two features along one axis, averaged over the groups of rows: a scalar.

    Args:
        ours, theirs: [B,C,N] or [B,C,N,F], in any mixture; frequencies within an item need both to have them.
        axis: what a row is.
        frames: most rows in time that are compared within an item.
    """
    student, teacher = paired_rows(ours, theirs, axis, frames)
    return (similarity(teacher) - similarity(student)).square().mean()


class Similarity(Paired):
    """Similarity-preserving distillation, along one axis or several, whose losses are summed.

    Args:
        axes: of ``batch`` (SP), ``frame_batch``, ``intra_time``, ``intra_frequency``. The last passes over pairs of
            layers of which one has no frequencies.
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        frames: most rows in time that are compared within an item.

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
        both = ("F" in student[ours].axes and "F" in teacher[theirs].axes for ours, theirs in self.pairs)
        if set(self.axes) == {"intra_frequency"} and not any(both):
            raise InputError(
                type(self).__name__,
                "student and teacher share no layers with frequencies",
                hint="add another axis, such as intra_time, or choose networks on spectra",
            )

    def prepare(self, student: View, teacher: View) -> None:
        if self.across_items:
            needs_items(type(self).__name__, student, 2)

    def distance(self, pair: int, ours: Tensor, theirs: Tensor) -> Tensor:
        both = ours.ndim == theirs.ndim == 4
        distances = [
            similarity_distance(ours, theirs, axis, self.frames)
            for axis in self.axes
            if both or axis != "intra_frequency"
        ]
        return torch.stack(distances).sum() if distances else ours.new_zeros(())


class TwoStep(Similarity):
    """The first of the two steps: similarities within each item, of frames and of frequencies.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        frames: most rows in time that are compared.

    Raises:
        ValueError: no such side, or fewer than 2 frames.
    """

    def __init__(self, side: Side = "both", dual_depth: bool = False, frames: int = 256) -> None:
        super().__init__(("intra_time", "intra_frequency"), side, dual_depth, frames)


def needs_items(method: str, view: View, least: int) -> None:
    """Refuse a batch in which there is nothing to compare.

    Raises:
        InputError: the view shows fewer than ``least`` items.
    """
    if len(view.wave) < least:
        raise InputError(
            method,
            f"compares the items of a batch, which has {len(view.wave)}",
            f"at least {least}",
            "raise train.batch_size",
        )
