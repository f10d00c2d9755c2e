"""Distances between waveforms, each a value per item: [B,T], [B,T] -> [B]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sordino.audio.stft import stft
from sordino.losses.spectral import spectral_distance

QUIETEST = 0.1
"""Of the noisy signal's magnitudes: the least that spectral convergence is measured against."""

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""(fft, hop, window) in samples at 16 kHz, as MANNER and DEMUCS are trained."""


class L1(nn.Module):
    """Mean absolute difference of the samples."""

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """``reference``, ``estimate`` [B,T]; ``noisy`` plays no part. Returns [B]."""
        return (reference - estimate).abs().mean(dim=-1)


class MultiResolution(nn.Module):
    """L1 of the samples plus spectral convergence and log-magnitude distance over several STFT resolutions.

    l(r, r^) = mean|r - r^| + w mean_k SC_k + w mean_k LM_k, w = 0.5 in MANNER, with SC = ||A - A^||_F / ||A||_F and
    LM = mean |log A - log A^| per item (Yamamoto et al., ICASSP 2020, in the form in which MANNER uses it).

    Ours: a reference 20 dB or more below the noisy signal, such as the silence of an item of noise alone, is taken for
    20 dB below it where SC divides. Else that item would count a thousand times as much as any other.

    Args:
        resolutions: (fft, hop, window) in samples, one triple for each STFT.
        spectral_weight: weight of spectral convergence and of log magnitudes each. MANNER has 0.5, DEMUCS on Valentini
            0.1.
    """

    def __init__(self, resolutions: Sequence[tuple[int, int, int]] = RESOLUTIONS, spectral_weight: float = 0.5) -> None:
        super().__init__()
        self.resolutions = tuple(resolutions)
        self.spectral_weight = spectral_weight

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """``reference``, ``estimate``, ``noisy`` [B,T]; returns [B]."""
        spectral = [
            spectral_distance(
                stft(reference, *resolution), stft(estimate, *resolution), QUIETEST * spectral_norm(noisy, *resolution)
            )
            for resolution in self.resolutions
        ]
        return (reference - estimate).abs().mean(dim=-1) + self.spectral_weight * torch.stack(spectral).mean(dim=0)


def spectral_norm(wave: Tensor, fft: int, hop: int, window: int) -> Tensor:
    """About the Frobenius norm [B] of ``stft`` of ``wave`` [B,T] in this resolution: by Parseval, without an STFT."""
    frames = wave.square().sum(dim=-1) * torch.hann_window(window).square().sum().item() / hop
    return (fft / 2 * frames).sqrt()
