"""Rows of a feature, which the methods on similarities and on relations compare with each other. They are of no paper.

A row is a vector: all that a feature holds of one item, of one frame or of one frequency. The axis determines which;
``sordino.distill.methods.similarity`` says which paper compares which. Only the number of rows must agree between two
networks: widths are free.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from sordino.distill.layers.resize import fold, resample_time, resize_planes
from sordino.errors import InputError
from sordino.types import View

Axis = Literal["batch", "frame_batch", "intra_time", "intra_frequency"]
Among = Literal["frames", "items"]
"""What is compared by the methods that know two kinds of rows alone."""

ROWS: dict[str, Axis] = {"frames": "intra_time", "items": "batch"}
"""The axis of the rows that ``Among`` names."""
SILENCE = 1e-4
"""Length of a row of products, over rows of root mean square length 1, below which the row is not normalised."""
NORM_FLOOR = 1e-12


def rows(feature: Tensor, axis: Axis, count: int) -> Tensor:
    """Return groups of rows that are compared with each other: [B,C,N] or [B,C,N,F] -> [groups,rows,values].

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


def paired_rows(student: Tensor, teacher: Tensor, axis: Axis, frames: int) -> tuple[Tensor, Tensor]:
    """Return the rows of two features, as many of each.

    ``frame_batch`` has the student's frames; ``intra_time`` and ``intra_frequency`` have the lower of both counts, and
    the former at most ``frames``.
    """
    if axis == "frame_batch":
        count = student.shape[2]
    elif axis == "intra_frequency":
        count = min(student.shape[3], teacher.shape[3])
    else:
        count = min(student.shape[2], teacher.shape[2], frames)
    return rows(student, axis, count), rows(teacher, axis, count)


def products(rows: Tensor) -> Tensor:
    """Return inner products of rows scaled to a root mean square length of 1: [...,R,D] -> [...,R,R]."""
    length = torch.linalg.vector_norm(rows, dim=(-2, -1), keepdim=True) / rows.shape[-2] ** 0.5
    scaled = rows / length.clamp(min=NORM_FLOOR)
    # The losses compare small differences of similarities, which half precision would lose.
    with torch.autocast(rows.device.type, enabled=False):
        return scaled @ scaled.transpose(-2, -1)


def needs_items(method: str, view: View, least: int) -> None:
    """Refuse a batch with too few items to compare.

    Raises:
        InputError: the view has fewer than ``least`` items.
    """
    if len(view.wave) < least:
        found = f"compares the items of a batch, which has {len(view.wave)}"
        raise InputError(method, found, f"at least {least}", "raise train.batch_size")
