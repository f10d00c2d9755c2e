"""Distances between waveforms, each a value per item: [B,T], [B,T] -> [B]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sotto.audio.stft import magnitude, stft

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
        """``reference``, ``estimate`` [B,T]; ``noisy`` plays no part. Returns [B]."""
        spectral = [
            spectral_distance(stft(reference, *resolution), stft(estimate, *resolution))
            for resolution in self.resolutions
        ]
        return (reference - estimate).abs().mean(dim=-1) + self.spectral_weight * torch.stack(spectral).mean(dim=0)


def spectral_distance(reference: Tensor, estimate: Tensor) -> Tensor:
    """Spectral convergence plus log-magnitude distance of two complex spectra [B,F,N]; returns [B]."""
    target, guess = magnitude(reference), magnitude(estimate)
    convergence = torch.linalg.vector_norm(target - guess, dim=(1, 2)) / torch.linalg.vector_norm(target, dim=(1, 2))
    return convergence + (target.log() - guess.log()).abs().mean(dim=(1, 2))
