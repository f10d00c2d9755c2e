"""Scale-invariant signal-to-distortion ratio as a loss, in dB and bounded on both sides.

Le Roux, Wisdom, Erdogan, Hershey: "SDR - half-baked or well done?", ICASSP 2019, arXiv 1811.02508. With s the clean
speech, y the estimate, t = (<y, s> / ||s||^2) s its projection on s and e = y - t the rest, SI-SDR = 10 log10
(||t||^2 / ||e||^2). Means are not removed, as in the paper.

SI-SDR tends to infinity for an almost perfect estimate, and its gradient for an almost silent one. Therefore, with
k = 10^(-max_db / 10), the loss of an item is

    10 log10( (||e||^2 + k ||t||^2 + d ||s||^2) / (||t||^2 + k ||e||^2 + d ||s||^2) ) - (the same of y = s),

d = 1e-8, which is max_db - SI-SDR to within 0.1 dB wherever SI-SDR lies 17 dB or more inside -max_db..max_db. It is 0
for a perfect estimate, max_db for a silent one, about 2 max_db for an unrelated one; its gradient is bounded. From
max_db = 60 on, d limits these as well: to 80 dB for a silent estimate.

It depends neither on scale nor on sign: an estimate of opposite polarity has the same loss. ``snr`` depends on both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sordino.losses.decibels import Decibels
from sordino.losses.silence import is_silent

TINY = 1e-8
"""d, the share of the reference's energy that keeps the loss of a silent estimate finite."""


class SiSdr(Decibels):
    """Decibels by which SI-SDR is below ``max_db``, one value per item.

    For a silent reference the ratio is undefined: loss and gradient of the item are 0.

    Args:
        max_db: SI-SDR in dB that counts as perfect; minus that counts as unrelated.
    """

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the loss of ``estimate`` [B,T] against ``reference`` [B,T]; ``noisy`` is unused. Returns [B]."""
        silent = is_silent(reference)
        energy = torch.where(silent, 1.0, reference.square().sum(dim=-1))
        scale = (estimate * reference).sum(dim=-1) / energy
        target = scale.square() * energy
        distortion = (estimate - scale.unsqueeze(-1) * reference).square().sum(dim=-1)
        threshold, floor = 10 ** (-self.max_db / 10), TINY * energy
        numerator = distortion + threshold * target + floor
        denominator = target + threshold * distortion + floor
        of_perfect = (threshold + TINY) / (1 + TINY)  # the quotient for y = s
        return torch.where(silent, 0.0, 10 * torch.log10(numerator / denominator / of_perfect))
