"""The scale-invariant signal-to-distortion ratio as a loss, in dB and bounded on both sides.

Le Roux, Wisdom, Erdogan, Hershey: "SDR - half-baked or well done?", ICASSP 2019, arXiv 1811.02508. With s the clean
speech, y the estimate, t = (<y, s> / ||s||^2) s its part along s and e = y - t the rest, SI-SDR = 10 log10
(||t||^2 / ||e||^2). Means are not removed, as in the paper.

SI-SDR runs off to infinity where an item is almost perfect, and its gradient where an estimate is almost silent. So,
with k = 10^(-max_db / 10), the loss of an item is

    10 log10( (||e||^2 + k ||t||^2 + d ||s||^2) / (||t||^2 + k ||e||^2 + d ||s||^2) ) - (the same of y = s),

d = 1e-8, which is max_db - SI-SDR to within 0.1 dB wherever SI-SDR lies 17 dB or more inside -max_db..max_db. It is 0
for a perfect estimate, max_db for a silent one, about 2 max_db for an unrelated one; its gradient is bounded.

Neither scale nor sign matters to it: an estimate upside down is as good as one upright. ``snr`` is its twin that sees
both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sordino.losses.decibels import Decibels
from sordino.losses.silence import is_silent

TINY = 1e-8  # of the reference's energy: where a silent estimate is held


class SiSdr(Decibels):
    """Decibels by which SI-SDR falls short of ``max_db``, a value per item.

    An item whose reference is silent has no direction to compare with: its loss is 0, its gradient too.

    Args:
        max_db: SI-SDR that is as good as perfect, and minus the one that is as bad as unrelated.
    """

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """``reference``, ``estimate`` [B,T]; ``noisy`` plays no part. Returns [B]."""
        silent = is_silent(reference)
        energy = torch.where(silent, 1.0, reference.square().sum(dim=-1))
        scale = (estimate * reference).sum(dim=-1) / energy
        target = scale.square() * energy
        distortion = (estimate - scale.unsqueeze(-1) * reference).square().sum(dim=-1)
        threshold, held = 10 ** (-self.max_db / 10), TINY * energy
        worse = distortion + threshold * target + held
        better = target + threshold * distortion + held
        perfect = (threshold + TINY) / (1 + TINY)
        return torch.where(silent, 0.0, 10 * torch.log10(worse / better / perfect))
