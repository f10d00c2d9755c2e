"""Output distillation: the teacher's estimate takes the place of the clean speech.

Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, carried over to regression:
L_KD = l(y^_T, y^_S), with any loss of the project as l. The MV-AT paper (Shin et al., Interspeech 2022, Eq. 4) takes
MANNER's weighted loss. There is no softmax and no Kullback-Leibler divergence: a waveform is not a distribution, and
over an axis of length one the divergence is always 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sordino import losses
from sordino.distill.base import Method
from sordino.types import Batch, View


class Output(Method):
    """Output distillation: a loss, or a weighted sum of losses, between the estimates of student and teacher.

    A sum matters most without clean speech, where nothing else trains the student: ``{compressed: 1, perceptual: 0.01,
    snr: 0.005}`` asks of the teacher's estimate what a supervised recipe asks of the clean speech.

    Args:
        loss: as ``sordino.losses.create`` takes it, or such names with their weights.
        bounded: count an item only where the teacher's estimate is nearer to the clean speech than the student's, by the
            same loss: a teacher that errs, or that was overtaken, teaches nothing. Needs clean speech. The idea is the
            teacher-bounded regression loss of Chen et al., "Learning efficient object detection models with knowledge
            distillation", NIPS 2017.

    Raises:
        InputError: no such loss.
        ValueError: no loss at all, or a weight that is negative, not finite, or 0 for all of them.
    """

    def __init__(self, loss: str | dict[str, float] = "weighted", bounded: bool = False) -> None:
        super().__init__()
        self.bounded = self.needs_clean = bounded
        self.weights = {loss: 1.0} if isinstance(loss, str) else dict(loss)
        for name, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"the weight of {name} is 0 or more, not {weight}")
        if not any(self.weights.values()):
            raise ValueError("no loss between the estimates has a weight above 0")
        self.losses = nn.ModuleList([losses.create(name) for name in self.weights])

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        values = self._distances(teacher.wave, student.wave, batch.noisy)
        if self.bounded:
            assert batch.clean is not None
            with torch.no_grad():
                of_teacher = self._distances(batch.clean, teacher.wave, batch.noisy)
                of_student = self._distances(batch.clean, student.wave, batch.noisy)
            values = torch.where(of_teacher < of_student, values, 0.0)
        return values.mean()

    def _distances(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the weighted sum of the losses of ``estimate`` against ``reference``, all [B,T]; returns [B]."""
        weighted = zip(self.weights.values(), self.losses, strict=True)
        values = [weight * loss(reference, estimate, noisy) for weight, loss in weighted]
        return torch.stack(values).sum(dim=0)
