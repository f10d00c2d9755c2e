"""The weighted loss of MANNER: the losses of speech and noise, each weighted by its share of the energy.

Park, Kang, Shin, Kim, Han: "MANNER: Multi-view Attention Network for Noise Erasure", ICASSP 2022.
With y clean, x noisy, n = x - y the noise and n^ = x - y^ its estimate,
a = ||y||^2 / (||y||^2 + ||n||^2 + 2e-7), the loss of an item is a l(y, y^) + (1 - a) l(n, n^), where l is
``MultiResolution``. With the teacher's output in place of y it is the MV-AT paper's L_KD (Eq. 4).
"""

from __future__ import annotations

import torch
from torch import Tensor

from sordino.audio.stft import stft
from sordino.losses.spectral import weighted_distance
from sordino.losses.waveform import MultiResolution

ENERGY_FLOOR = 2e-7


class Weighted(MultiResolution):
    """Weighted loss, one value per item.

    Two identities make it cheap: y - y^ and n - n^ differ only in sign, so the L1 parts of l(y, y^) and l(n, n^) are
    equal and their weights sum to one; and the STFT is linear, so the spectrum of an estimated noise is that of the
    noisy signal minus that of the estimate.

    Its arguments are those of ``MultiResolution``.
    """

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the loss of ``estimate`` against ``reference``; both and ``noisy`` are [B,T]. Returns [B]."""
        speech = reference.square().sum(dim=-1)
        noise = (noisy - reference).square().sum(dim=-1)
        share = speech / (speech + noise + ENERGY_FLOOR)
        spectral = torch.stack([self._spectral(reference, estimate, noisy, share, r) for r in self.resolutions])
        return (reference - estimate).abs().mean(dim=-1) + self.spectral_weight * spectral.mean(dim=0)

    def _spectral(
        self, reference: Tensor, estimate: Tensor, noisy: Tensor, share: Tensor, resolution: tuple[int, int, int]
    ) -> Tensor:
        """Compute the spectral part [B] at one resolution."""
        mixture, target, guess = (stft(wave, *resolution) for wave in (noisy, reference, estimate))
        return weighted_distance(target, guess, mixture, share)
