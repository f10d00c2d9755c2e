"""Output distillation: the teacher's estimate takes the place of the clean speech.

Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, carried over to regression:
L_KD = l(y^_T, y^_S), with any loss of the project as l. The MV-AT paper (Shin et al., Interspeech 2022, Eq. 4) takes
MANNER's weighted loss. There is no softmax and no Kullback-Leibler divergence: a waveform is not a distribution, and
over an axis of length one the divergence is always 0.
"""

from __future__ import annotations

from torch import Tensor

from sordino import losses
from sordino.distill.base import Method
from sordino.types import Batch, View


class Output(Method):
    """Output distillation: a loss between the estimates of student and teacher.

    Args:
        loss: as ``sordino.losses.create`` takes it.

    Raises:
        InputError: no such loss.
    """

    def __init__(self, loss: str = "weighted") -> None:
        super().__init__()
        self.loss = losses.create(loss)

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        return self.loss(teacher.wave, student.wave, batch.noisy).mean()
