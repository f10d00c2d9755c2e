"""Relational distillation: distances and angles between the student's embeddings should equal the teacher's.

Park, Kim, Lu, Cho: "Relational Knowledge Distillation", CVPR 2019, arXiv 1904.05068. With embeddings x_i,

    psi_D = || x_i - x_j || / mu,  mu the mean over pairs i != j,
    psi_A = cos of the angle at j = < e_ij, e_kj >,  e_ij = (x_i - x_j) / || x_i - x_j ||,
    L = lambda_D l(psi_D) + lambda_A l(psi_A),  l the Huber loss of student and teacher, mean over pairs or triplets.

Both relations are invariant to moving, rotating and scaling the embeddings.

Paper and published code differ: the paper sums over distinct pairs and triplets, the code takes means that count the
zeros of i = j too, as here. The weights are 1 and 2, the paper's for metric learning; those for classification are 25
times as large.

Our reading: an embedding is a frame of an item, with its channels and frequencies; frames are averaged down to at most
``frames``. Batches in speech are small, and segments of one utterance differ more than averages over it. Or, as in the
paper, an embedding is a whole item; the loss then depends on the batch and needs 3 items, as 2 have one distance and no
angle. An angle with a side shorter than 1/1000 of the mean distance counts as a right angle in the network
where it is so short.

It is NOT a loss on the position of an embedding, so it needs neither a common width nor a learnt projection.
"""

from __future__ import annotations

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.distill.layers.layer_loss import LayerPairs, Side
from sordino.distill.layers.rows import ROWS, Among, needs_items, paired_rows
from sordino.types import View

SHORT = 1e-3
DISTANCE_FLOOR = 1e-12


def distances(rows: Tensor) -> Tensor:
    """Return Euclidean distances divided by their mean: [...,R,D] -> [...,R,R]; zero where all rows are equal."""
    # The faster way by a matrix product has inaccurate gradients for rows that are nearly equal.
    plain = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = max(rows.shape[-2] * (rows.shape[-2] - 1), 1)
    mean = plain.sum(dim=(-2, -1), keepdim=True) / pairs
    return plain / mean.clamp(min=DISTANCE_FLOOR)


def angles(distances: Tensor) -> Tensor:
    """Return the cosines of the angles of all triangles: [...,R,R] -> [...,R,R,R], the vertex in the middle.

    They come from distances, by the law of cosines, because difference vectors would take D times as much memory.
    """
    squares = distances.square()
    first, second, opposite = distances.unsqueeze(-1), distances.unsqueeze(-3), squares.unsqueeze(-2)
    sides = first * second
    known = (first > SHORT) & (second > SHORT)
    cosines = (squares.unsqueeze(-1) + squares.unsqueeze(-3) - opposite) / (2 * torch.where(known, sides, 1.0))
    return torch.where(known, cosines, 0.0)


class Relational(LayerPairs):
    """Relational distillation of distances and angles.

    Args:
        among: what the embeddings are: the ``frames`` of each item, or the ``items`` of the batch.
        distance_weight: lambda_D.
        angle_weight: lambda_A.
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        frames: largest number of frames; the number of triplets grows with its third power.

    Raises:
        ValueError: no such embedding or side, a weight below 0 or none above it, or fewer than 3 frames.
    """

    def __init__(
        self,
        among: Among = "frames",
        distance_weight: float = 1.0,
        angle_weight: float = 2.0,
        side: Side = "both",
        dual_depth: bool = False,
        frames: int = 32,
    ) -> None:
        super().__init__(side, dual_depth)
        if among not in get_args(Among):
            raise ValueError(f"relations are among frames or items, not {among!r}")
        if min(distance_weight, angle_weight) < 0 or distance_weight + angle_weight == 0:
            raise ValueError(f"weights are 0 or more, one of them above 0, not {distance_weight} and {angle_weight}")
        if frames < 3:
            raise ValueError(f"a triangle needs 3 frames, not {frames}")
        self.among, self.frames, self.across_items = among, frames, among == "items"
        self.distance_weight, self.angle_weight = distance_weight, angle_weight

    def prepare(self, student: View, teacher: View) -> None:
        if self.across_items:
            needs_items(type(self).__name__, student, 3)

    def distance(self, pair: int, student: Tensor, teacher: Tensor) -> Tensor:
        own, target = map(distances, paired_rows(student, teacher, ROWS[self.among], self.frames))
        total = self.distance_weight * F.smooth_l1_loss(own, target)
        if self.angle_weight:
            total = total + self.angle_weight * F.smooth_l1_loss(angles(own), angles(target))
        return total
