"""Teacher-bounded regression: the student learns from clean speech, but only as long as the teacher is better.

Chen, Choi, Yu, Han, Chandraker: "Learning Efficient Object Detection Models with Knowledge Distillation", NIPS 2017,
section 3.3, there for the corners of boxes. With y the reference, R_S and R_T the two estimates and m >= 0 a margin,

    L_b = || R_S - y ||^2   if || R_S - y ||^2 + m > || R_T - y ||^2,   0 otherwise.

The teacher is a bound, never a target, since the error of a regressor is unbounded. Carried over to speech, the squared
norm becomes any loss D of the project and the choice is made item by item: an item on which the student beats the
teacher by the margin has a loss of 0.

It does NOT use the teacher's estimate beyond one number per item, and it needs clean speech.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sordino import losses
from sordino.distill.base import Method
from sordino.types import Batch, View


def bounded(student: Tensor, teacher: Tensor, margin: float = 0.0) -> Tensor:
    """Set the student's losses to 0 for items on which it beats the teacher: [B], [B] -> [B].

    Args:
        student, teacher: the same loss of the two estimates, item by item.
        margin: how much lower the student's loss has to be.
    """
    return torch.where(student + margin > teacher, student, torch.zeros_like(student))


class Bounded(Method):
    """Teacher-bounded regression; the log has the share of items on which the loss was not 0.

    Args:
        loss: as ``sordino.losses.create`` takes it, the distance from the clean speech.
        margin: m, in units of that loss. At 0 a student that equals its teacher has a loss of 0.

    Raises:
        InputError: no such loss.
        ValueError: a margin below 0.
    """

    needs_clean: ClassVar[bool] = True
    may_be_zero: ClassVar[bool] = True
    zero_when_equal: ClassVar[bool] = False  # with a margin, a student must do better than its teacher

    def __init__(self, loss: str = "weighted", margin: float = 0.0) -> None:
        super().__init__()
        if margin < 0:
            raise ValueError(f"the margin is 0 or more, not {margin}")
        self.loss, self.margin = losses.create(loss), margin
        self.rows, self.columns = ["items"], ["active"]

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        assert batch.clean is not None  # the objective ensures it, by needs_clean
        own = self.loss(batch.clean, student.wave, batch.noisy)
        bound = self.loss(batch.clean, teacher.wave, batch.noisy)
        values = bounded(own, bound, self.margin)
        self.tables = {"bound": (values.detach() > 0).float().mean().view(1, 1)}
        return values.mean()
