"""Factor transfer: the student translates its features into a paraphrase of the teacher's.

Kim, Park, Kwak: "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018, arXiv
1802.04977. A paraphraser, an autoencoder of the teacher's features with k times their channels in the
middle, gives the factors F_T; a translator gives the student's, F_S; and with p = 1

    L_rec = || x - P(x) ||^2,   L_FT = || F_T / ||F_T||_2 - F_S / ||F_S||_2 ||_p^p.

Our reading: the paper trains the paraphraser beforehand; here it learns beside the student, by L_rec alone, its factors
being detached in L_FT, so that it cannot give way to the student. Both are 1x1 convolutions with a leaky ReLU, where
the paper has three 3x3 convolutions each; L_rec is relative to the energy of the features, and moves nothing but the
paraphraser; the factors are normalised item by item; and L_FT is a sum over the values of a factor, over the square
root of their number, so that it lies in 0..2 for a layer of any size.

It is NOT settled at first: while the paraphraser still learns, the target moves. Ramp the weight up.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.distill.layers.layer_loss import Paired, Side, aligned, pointwise
from sordino.types import View

NORM_FLOOR = 1e-6
SLOPE = 0.1


def factor_distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """l1 of the difference of factors of unit length, over the root of their size: [B,K,...] -> scalar in 0..2."""
    student, teacher = (F.normalize(factor.flatten(1), dim=1, eps=NORM_FLOOR) for factor in (ours, theirs))
    return (student - teacher).abs().sum(dim=1).mean() / student.shape[1] ** 0.5


class Factors(nn.Module):
    """Paraphraser and translator of one pair of layers.

    The paraphraser has no biases: it answers silence with silence, whose relative error is 0 and not without limit.

    Args:
        ours, theirs: channels of the student and of the teacher.
        rate: k, channels of a factor for each channel of the teacher.
    """

    def __init__(self, ours: int, theirs: int, rate: float) -> None:
        super().__init__()
        width = max(1, round(rate * theirs))
        self.paraphraser = nn.Sequential(nn.Conv1d(theirs, width, 1, bias=False), nn.LeakyReLU(SLOPE))
        self.restore = nn.Conv1d(width, theirs, 1, bias=False)
        self.translator = nn.Sequential(nn.Conv1d(ours, width, 1), nn.LeakyReLU(SLOPE))

    def forward(self, ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
        """L_FT and the relative L_rec of one pair of features, two scalars."""
        factor = pointwise(self.paraphraser, theirs)
        lost = F.mse_loss(pointwise(self.restore, factor), theirs) / theirs.square().mean().clamp(min=NORM_FLOOR**2)
        return factor_distance(pointwise(self.translator, ours), factor.detach()), lost


class FactorTransfer(Paired):
    """Factor transfer: L_FT + L_rec, which the log has one by one too.

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
        pairs = [aligned(ours, theirs) for ours, theirs in self.features(student, teacher)]
        self.factors = nn.ModuleList(Factors(ours.shape[1], theirs.shape[1], self.rate) for ours, theirs in pairs)

    def figures(self) -> dict[str, Tensor]:
        return {"parts": torch.stack(list(self._last.values()))} if self._last else {}

    def distance(self, pair: int, ours: Tensor, theirs: Tensor) -> Tensor:
        parts = torch.stack(self.factors[pair](*aligned(ours, theirs)))
        self._last[pair] = parts.detach()
        return parts.sum()
