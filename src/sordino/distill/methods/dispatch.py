"""DISPatch: the student copies the teacher's spectrum only in the patches where the teacher is the better of the two.

Kim, Choi: "DISPATCH: Distilling Selective Patches for Speech Enhancement", ICASSP 2026, arXiv 2509.15922. Magnitude
spectra of both estimates and of the clean speech are cut into patches. With E_p the mean squared error of a patch, the
knowledge gap is KGS_p = E_p(student, clean) - E_p(teacher, clean); the patches with the largest gaps, a fraction k of
all of an item's, are selected, and

    L = sum over selected patches of E_p(student, teacher) / (number of patches x k).

MSSP, multi-scale selective patches, has lower patches at low frequencies than at high ones: 10 and 40 bins.

Paper and published code differ: the paper's idea is to leave out every patch that the teacher does worse, the code
takes the fraction k whatever the sign of the gap. Here a selected patch must also have a gap above 0, so a student that
beats its teacher everywhere has a loss of 0; the divisor stays the code's, so that the loss fades with the number of
such patches. The code fills the highest patch up with zeros; here it is averaged over the bins that it has. Patches are
one frame wide, k is 0.8 and the spectrum is that of 512 samples with a hop of 128, all as in the code.

Our reading: the low frequencies of MSSP end at a fixed share of the band, where the paper moves that edge from frame to
frame with another method, DFKD.

It is NOT for data without clean speech, which decides whose patch is better; and it does not see phases.
"""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.audio.stft import check_resolution, magnitude, stft
from sordino.distill.base import Method
from sordino.types import Batch, View


def patch_heights(bins: int, low: int, high: int, split: float) -> list[int]:
    """Divide the bins into patches from 0 Hz up: ``low`` bins each up to the share ``split`` of the band, then
    ``high``.

    The highest patch has the bins that are left over.
    """
    below = int(split * bins) // low
    above, rest = divmod(bins - below * low, high)
    heights = [low] * below + [high] * above
    return [*heights, rest] if rest else heights


def patch_errors(one: Tensor, other: Tensor, heights: list[int], frames: int = 1) -> Tensor:
    """Return the mean squared difference of two magnitude spectra [B,F,N] by patch: [B,patches,ceil(N/frames)].

    Args:
        one, other: the spectra.
        heights: bins of each patch; their sum is F.
        frames: width of a patch; the last one may be narrower.
    """
    bands = (one - other).square().split(heights, dim=1)
    errors = torch.stack([band.mean(dim=1) for band in bands], dim=1)
    return F.avg_pool1d(errors, frames, frames, ceil_mode=True)


def select(gap: Tensor, fraction: float) -> Tensor:
    """Select the ``fraction`` of each item's patches with the largest gaps, if above 0: [B,P] -> bool [B,P]."""
    count = max(1, int(fraction * gap.shape[1]))
    largest = gap.topk(count, dim=1).indices
    return torch.zeros_like(gap, dtype=torch.bool).scatter(1, largest, True) & (gap > 0)


class Dispatch(Method):
    """Distillation of selected patches; the log has the share of selected patches, band by band.

    Args:
        fraction: k, the largest share of an item's patches to select; 1 selects wherever the teacher is better.
        low_bins: bins of a patch at low frequencies (the paper's 10, with 40 below, is MSSP).
        high_bins: bins of a patch at high frequencies.
        split: share of the band that counts as low frequencies.
        frames: width of a patch.
        resolution: (fft, hop, window) of the spectrum in samples.

    Raises:
        ValueError: a fraction or split out of 0..1, or a patch without bins or frames.
    """

    needs_clean: ClassVar[bool] = True
    may_be_zero: ClassVar[bool] = True

    def __init__(
        self,
        fraction: float = 0.8,
        low_bins: int = 20,
        high_bins: int = 20,
        split: float = 0.25,
        frames: int = 1,
        resolution: tuple[int, int, int] = (512, 128, 512),
    ) -> None:
        super().__init__()
        if not (0 < fraction <= 1 and 0 <= split <= 1):
            raise ValueError(f"fraction and split are shares, not {fraction} and {split}")
        if min(low_bins, high_bins, frames) < 1:
            raise ValueError(f"a patch has bins and frames, not {low_bins}, {high_bins} and {frames}")
        check_resolution(*resolution)
        self.fraction, self.frames, self.resolution = fraction, frames, resolution
        self.heights = patch_heights(resolution[0] // 2 + 1, low_bins, high_bins, split)
        edges = [sum(self.heights[:patch]) for patch in range(len(self.heights) + 1)]
        self.rows = [f"bins {low} to {high - 1}" for low, high in itertools.pairwise(edges)]
        self.columns = ["selected"]

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        assert batch.clean is not None  # the objective ensures it, by needs_clean
        estimate = magnitude(stft(student.wave, *self.resolution))
        target = magnitude(stft(teacher.wave, *self.resolution))
        clean = magnitude(stft(batch.clean, *self.resolution))
        with torch.no_grad():
            gap = self._errors(estimate, clean) - self._errors(target, clean)
            chosen = select(gap, self.fraction)
            shares = chosen.unflatten(1, (len(self.heights), -1)).float().mean(dim=(0, 2))
            self.tables = {"patches": shares.unsqueeze(1)}
        return (self._errors(estimate, target) * chosen).sum() / (chosen.numel() * self.fraction)

    def _errors(self, one: Tensor, other: Tensor) -> Tensor:
        """Return E_p of two spectra for all patches: [B,P]."""
        return patch_errors(one, other, self.heights, self.frames).flatten(1)
