"""Probabilistic knowledge transfer: the distribution over each sample's neighbours should equal the teacher's.

Passalis, Tefas: "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018, arXiv 1803.10837.
With the cosine kernel K(a, b) = (cos(a, b) + 1) / 2 over rows x_i, p_{j|i} = K(x_i, x_j) / sum_k K(x_i, x_k), and the
loss is the Kullback-Leibler divergence of the student's distributions from the teacher's,

    L = mean over i of sum_j p^T_{j|i} log ( p^T_{j|i} / p^S_{j|i} ).

Paper and published code differ: the paper leaves out j = i, the code counts it, as here, and takes the mean over the
whole matrix, where this file takes the divergence of each row.

Our reading: rows are the frames of each item, averaged down to at most ``frames``; or, as in the paper, the items of
the batch, in which case the loss depends on the batch and needs 2 items. A silent row is at a right angle to all.

It is NOT sharp: a cosine of 0 still has half the kernel, so the gradients are small and need a large weight.
"""

from __future__ import annotations

from typing import get_args

from torch import Tensor

from sordino.distill.layers.layer_loss import LayerPairs, Side
from sordino.distill.layers.rows import ROWS, SILENCE, Among, needs_items, paired_rows, products
from sordino.types import View

KERNEL_FLOOR = 1e-7


def neighbours(rows: Tensor) -> Tensor:
    """Return the conditional probabilities p_{j|i}: [...,R,D] -> [...,R,R], each row with the sum 1."""
    inner = products(rows)
    length = inner.diagonal(dim1=-2, dim2=-1).clamp(min=SILENCE**2).sqrt()
    cosines = inner / (length.unsqueeze(-1) * length.unsqueeze(-2))
    kernel = ((cosines + 1) / 2).clamp(min=KERNEL_FLOOR)
    return kernel / kernel.sum(dim=-1, keepdim=True)


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the KL divergence of ``student`` from ``teacher``, [...,R] each, as a mean over all axes but the last."""
    return (teacher * (teacher.log() - student.log())).sum(dim=-1).mean()


class Probabilistic(LayerPairs):
    """Probabilistic knowledge transfer with the cosine kernel.

    Args:
        among: rows are the ``frames`` of each item, or the ``items`` of the batch.
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        frames: largest number of frames that are compared.

    Raises:
        ValueError: no such row or side, or fewer than 2 frames.
    """

    def __init__(
        self, among: Among = "frames", side: Side = "both", dual_depth: bool = False, frames: int = 256
    ) -> None:
        super().__init__(side, dual_depth)
        if among not in get_args(Among):
            raise ValueError(f"neighbours are frames or items, not {among!r}")
        if frames < 2:
            raise ValueError(f"at least 2 frames can be neighbours, not {frames}")
        self.among, self.frames, self.across_items = among, frames, among == "items"

    def prepare(self, student: View, teacher: View) -> None:
        if self.across_items:
            needs_items(type(self).__name__, student, 2)

    def distance(self, pair: int, student: Tensor, teacher: Tensor) -> Tensor:
        own, target = map(neighbours, paired_rows(student, teacher, ROWS[self.among], self.frames))
        return divergence(own, target)
