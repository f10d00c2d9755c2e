"""Distances between waveforms, one value per item: mean absolute error, and the multi-resolution STFT loss.

Yamamoto, Song, Kim: "Parallel WaveGAN", ICASSP 2020, for the multi-resolution STFT loss; the weights are those of
MANNER and DEMUCS. :class:`MultiResolution` says where ours differs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sordino.audio.stft import check_resolution, stft
from sordino.losses.spectral import spectral_distance

QUIETEST = 0.1
"""Least norm that spectral convergence is divided by, as a share of the norm of the noisy signal's magnitudes."""

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""(fft, hop, window) in samples at 16 kHz, with which MANNER and DEMUCS are trained."""


class L1(nn.Module):
    """Mean absolute difference of the samples, one value per item."""

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the loss of ``estimate`` [B,T] against ``reference`` [B,T]; ``noisy`` is unused. Returns [B]."""
        return (reference - estimate).abs().mean(dim=-1)


class MultiResolution(nn.Module):
    """L1 of the samples plus spectral convergence and log-magnitude distance over several STFT resolutions.

    l(r, r^) = mean|r - r^| + w mean_k SC_k + w mean_k LM_k, w = 0.5 in MANNER, with SC = ||A - A^||_F / ||A||_F and
    LM = mean |log A - log A^| per item (Yamamoto et al., ICASSP 2020, in the form that MANNER uses).

    Difference: the divisor of SC is at least that of a reference 20 dB below the noisy signal. Otherwise an item with a
    quieter reference, such as the silence of an item of noise alone, would count a thousand times as much as others.

    Args:
        resolutions: (fft, hop, window) in samples, one triple for each STFT.
        spectral_weight: weight w. MANNER uses 0.5, DEMUCS on Valentini 0.1.
    """

    def __init__(self, resolutions: Sequence[tuple[int, int, int]] = RESOLUTIONS, spectral_weight: float = 0.5) -> None:
        super().__init__()
        if not resolutions or not spectral_weight >= 0:
            raise ValueError(f"resolutions are one or more, and spectral_weight is 0 or more, not {spectral_weight}")
        for resolution in resolutions:
            check_resolution(*resolution)
        self.resolutions = tuple(resolutions)
        self.spectral_weight = spectral_weight

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the loss of ``estimate`` against ``reference``; both and ``noisy`` are [B,T]. Returns [B]."""
        spectral = []
        for resolution in self.resolutions:
            target, guess = stft(reference, *resolution), stft(estimate, *resolution)
            spectral.append(spectral_distance(target, guess, QUIETEST * spectral_norm(noisy, *resolution)))
        return (reference - estimate).abs().mean(dim=-1) + self.spectral_weight * torch.stack(spectral).mean(dim=0)


def spectral_norm(wave: Tensor, fft: int, hop: int, window: int) -> Tensor:
    """Approximate the Frobenius norm [B] of ``stft`` of ``wave`` [B,T] by Parseval's theorem, without an STFT."""
    frames = wave.square().sum(dim=-1) * torch.hann_window(window).square().sum().item() / hop
    return (fft / 2 * frames).sqrt()
