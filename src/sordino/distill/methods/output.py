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

    A sum matters most without clean speech, where nothing else trains the student: ``{compressed: 1, perceptual: 0.06,
    snr: 0.003, stoi: 0.5, llr: 0.15}`` has the losses of the default student's recipe, with the teacher's estimate in
    place of the clean speech.

    Args:
        loss: as ``sordino.losses.create`` takes it, or such names with their weights.

    Raises:
        InputError: no such loss.
        ValueError: no loss at all, or a weight that is negative, not finite, or 0 for all of them.
    """

    def __init__(self, loss: str | dict[str, float] = "weighted") -> None:
        super().__init__()
        self.weights = {loss: 1.0} if isinstance(loss, str) else dict(loss)
        for name, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"the weight of {name} is 0 or more, not {weight}")
        if not any(self.weights.values()):
            raise ValueError("no loss between the estimates has a weight above 0")
        self.losses = nn.ModuleList([losses.create(name) for name in self.weights])

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        weighted = zip(self.weights.values(), self.losses, strict=True)
        values = [weight * loss(teacher.wave, student.wave, batch.noisy) for weight, loss in weighted]
        return torch.stack(values).sum(dim=0).mean()
