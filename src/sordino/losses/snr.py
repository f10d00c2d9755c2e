"""The signal-to-noise ratio of an estimate as a loss, in dB: it depends on scale and sign, and has a value for silence.

Wisdom, Tzinis, Erdogan, Weiss, Wilson, Hershey: "Unsupervised sound separation using mixture invariant training",
NeurIPS 2020, arXiv 2006.12701 (the soft threshold), and Wisdom et al.: "What's all the fuss about free universal sound
separation data?", ICASSP 2021, arXiv 2011.00803 (silent references). With s the clean speech, x the noisy signal, y the
estimate and k = 10^(-max_db / 10), the loss of an item is

    10 log10( (||s - y||^2 + k ||s||^2) / (k ||s||^2) ), and where s is silent
    10 log10( (||y||^2 + k ||x||^2) / (k ||x||^2) ):

that is, what is left of a recording of noise alone is measured against the recording. The papers leave out the
denominators, which do not depend on the network; with them a perfect estimate has a loss of 0, and the value is max_db
- SNR, with the SNR bounded by max_db.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sordino.losses.decibels import Decibels
from sordino.losses.silence import is_silent


class Snr(Decibels):
    """Decibels by which the SNR of the estimate is below ``max_db``, one value per item.

    If reference and noisy signal are both silent, loss and gradient are 0.

    Args:
        max_db: SNR in dB that counts as perfect.
    """

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the loss of ``estimate`` against ``reference``; both and ``noisy`` are [B,T]. Returns [B]."""
        scale = torch.where(is_silent(reference).unsqueeze(-1), noisy, reference)
        silent = is_silent(scale)
        energy = torch.where(silent, 1.0, 10 ** (-self.max_db / 10) * scale.square().sum(dim=-1))
        error = (reference - estimate).square().sum(dim=-1)
        return torch.where(silent, 0.0, 10 * torch.log10(error / energy + 1))
