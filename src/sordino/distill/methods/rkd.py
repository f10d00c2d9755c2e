"""Relational distillation: distances and angles between embeddings are to be the teacher's.

Park, Kim, Lu, Cho: "Relational Knowledge Distillation", CVPR 2019, arXiv 1904.05068. With embeddings x_i,

    psi_D = || x_i - x_j || / mu,  mu the mean over pairs i != j,
    psi_A = cos of the angle at j = < e_ij, e_kj >,  e_ij = (x_i - x_j) / || x_i - x_j ||,
    L = lambda_D l(psi_D) + lambda_A l(psi_A),  l the Huber loss of student and teacher, mean over pairs or triplets.

Both relations stay as they are when embeddings are moved, rotated or scaled.

Paper and published code differ: the paper sums over distinct pairs and triplets, the code takes means that count the
zeros of i = j too, as here. The weights are 1 and 2, the paper's for metric learning; for classification it has 25
times as much.

Our reading: an embedding is a frame of an item, its channels and frequencies, averaged down to at most ``frames`` of
them, since batches in speech are small and segments of one utterance differ more than averages over it; or, as in the
paper, all of an item, in which case the loss is bound to the batch and needs 3 items, for 2 have one distance and no
angle. An angle with a side shorter than 1/1000 of the mean distance is counted as a right one for either network.

It is NOT a loss that looks at where an embedding lies, so it needs no common width, and no learnt projection.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.distill.layers.layer_loss import Paired, Side
from sordino.distill.methods.similarity import Axis, needs_items, paired_rows
from sordino.types import View

Among = Literal["frames", "items"]

ROWS: dict[str, Axis] = {"frames": "intra_time", "items": "batch"}
"""What is an embedding, as an axis of ``similarity``."""
SHORT = 1e-3
DISTANCE_FLOOR = 1e-12


def distances(rows: Tensor) -> Tensor:
    """Euclidean distances over their mean: [...,R,D] -> [...,R,R]; zero where all rows are equal."""
    # The other way, by a matrix product, has no gradient worth the name for rows that nearly agree.
    plain = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = max(rows.shape[-2] * (rows.shape[-2] - 1), 1)
    mean = plain.sum(dim=(-2, -1), keepdim=True) / pairs
    return plain / mean.clamp(min=DISTANCE_FLOOR)


def angles(distances: Tensor) -> Tensor:
    """Cosines of the angles of all triangles, by their law: [...,R,R] -> [...,R,R,R], the vertex in the middle.

    Distances are all that an angle needs, and take R^2 places where difference vectors take R^2 D.
    """
    squares = distances.square()
    first, second, opposite = distances.unsqueeze(-1), distances.unsqueeze(-3), squares.unsqueeze(-2)
    sides = first * second
    known = (first > SHORT) & (second > SHORT)
    cosines = (squares.unsqueeze(-1) + squares.unsqueeze(-3) - opposite) / (2 * torch.where(known, sides, 1.0))
    return torch.where(known, cosines, 0.0)


class Relational(Paired):
    """Relational distillation of distances and angles.

    Args:
        among: what is an embedding: the ``frames`` of each item, or the ``items`` of the batch.
        distance_weight: lambda_D.
        angle_weight: lambda_A.
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        frames: most frames; triplets grow with the third power of it.

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

    def distance(self, pair: int, ours: Tensor, theirs: Tensor) -> Tensor:
        student, teacher = map(distances, paired_rows(ours, theirs, ROWS[self.among], self.frames))
        total = self.distance_weight * F.smooth_l1_loss(student, teacher)
        if self.angle_weight:
            total = total + self.angle_weight * F.smooth_l1_loss(angles(student), angles(teacher))
        return total
