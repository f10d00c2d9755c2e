"""Factor transfer: the student's features are translated into a learnt summary, the factors, of the teacher's.

Kim, Park, Kwak: "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018, arXiv
1802.04977. A paraphraser, an autoencoder of the teacher's features with k times their channels in the
middle, gives the factors F_T; a translator gives the student's, F_S; and with p = 1

    L_rec = || x - P(x) ||^2,   L_FT = || F_T / ||F_T||_2 - F_S / ||F_S||_2 ||_p^p.

Our reading: the paper trains the paraphraser beforehand; here it learns beside the student, by L_rec alone. Its factors
are detached in L_FT, so that they do not adapt to the student. Both are 1x1 convolutions with a leaky ReLU, where the
paper has three 3x3 convolutions each; L_rec is relative to the energy of the features, and trains nothing but the
paraphraser; the factors are normalised item by item; and L_FT is a sum over the values of a factor divided by the
square root of their number, so that it lies in 0..2 for a layer of any size.

It is NOT stable at first: while the paraphraser still learns, the target moves. Ramp the weight up.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.layer_loss import LayerPairs, Side, aligned, pointwise
from sordino.types import View

NORM_FLOOR = 1e-6
SLOPE = 0.1


def factor_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return L_FT of two factors [B,K,...] divided by the square root of their size: a scalar in 0..2."""
    student = F.normalize(student.flatten(1), dim=1, eps=NORM_FLOOR)
    teacher = F.normalize(teacher.flatten(1), dim=1, eps=NORM_FLOOR)
    return (student - teacher).abs().sum(dim=1).mean() / student.shape[1] ** 0.5


class Factors(nn.Module):
    """Paraphraser and translator of one pair of layers.

    The paraphraser has no biases: the output for a silent feature is silent, so that its relative error is 0, where a
    bias would make it unbounded.

    Args:
        student, teacher: channels of the two features.
        rate: k, channels of a factor for each channel of the teacher.
    """

    def __init__(self, student: int, teacher: int, rate: float) -> None:
        super().__init__()
        width = max(1, round(rate * teacher))
        self.paraphraser = nn.Sequential(nn.Conv1d(teacher, width, 1, bias=False), nn.LeakyReLU(SLOPE))
        self.restore = nn.Conv1d(width, teacher, 1, bias=False)
        self.translator = nn.Sequential(nn.Conv1d(student, width, 1), nn.LeakyReLU(SLOPE))

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Return L_FT and the relative L_rec of one pair of features, two scalars."""
        factor = pointwise(self.paraphraser, teacher)
        error = F.mse_loss(pointwise(self.restore, factor), teacher)
        relative = error / teacher.square().mean().clamp(min=NORM_FLOOR**2)
        return factor_distance(pointwise(self.translator, student), factor.detach()), relative


class FactorTransfer(LayerPairs):
    """Factor transfer: L_FT + L_rec; the log has both of each pair.

    Args:
        side: layers of the ``encoder``, of the ``decoder`` or of ``both``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        rate: k, the paraphrase rate.

    Raises:
        ValueError: no such side, or a rate that is not above 0.
    """

    zero_when_equal: ClassVar[bool] = False  # paraphraser and translator begin apart

    def __init__(self, side: Side = "both", dual_depth: bool = False, rate: float = 0.5) -> None:
        super().__init__(side, dual_depth)
        if rate <= 0:
            raise ValueError(f"the paraphrase rate is above 0, not {rate}")
        self.rate = rate
        self.factors = nn.ModuleList()
        self.columns = ["transfer", "reconstruction"]
        self._last: dict[int, Tensor] = {}

    def prepare(self, student: View, teacher: View) -> None:
        channels = self.channel_pairs(student, teacher)
        self.factors = nn.ModuleList(Factors(*pair, self.rate) for pair in channels)

    def figures(self) -> dict[str, Tensor]:
        return {"parts": torch.stack(list(self._last.values()))} if self._last else {}

    def distance(self, pair: int, student: Tensor, teacher: Tensor) -> Tensor:
        parts = torch.stack(self.factors[pair](*aligned(student, teacher)))
        self._last[pair] = parts.detach()
        return parts.sum()
