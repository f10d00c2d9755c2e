"""TSTNN's loss: squared error of the samples and absolute error of a spectrum's magnitudes.

Wang, He, Zhu (ICASSP 2021), after Pandey and Wang (TASLP 2019): L = a L_F + (1 - a) L_T, with L_T = mean (y - y^)^2
over samples and, over all frames and all bins of one discrete Fourier transform, those above Nyquist included,
L_F = mean | (|Re Y| + |Im Y|) - (|Re Y^| + |Im Y^|) |.

The weights and the spectrum are those of the authors' public code (github.com/key2miao/TSTNN): a = 0.6, frames of 512
samples with a hop of 256 from the first sample on, the last one filled up with zeros, a symmetric Hamming window, and
no scale. L_F therefore outweighs L_T by far. Ours: the end of a short item, padded with silence, counts like the rest.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TimeFrequency(nn.Module):
    """Mean squared error of the samples and mean absolute error of the spectrum's |Re| + |Im|.

    Args:
        spectral_weight: a, the weight of the spectral part; the samples have the rest.
        resolution: (frame, hop) of the spectrum in samples; the frame is even.
    """

    def __init__(self, spectral_weight: float = 0.6, resolution: tuple[int, int] = (512, 256)) -> None:
        super().__init__()
        self.spectral_weight = spectral_weight
        self.frame, self.hop = resolution

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """``reference``, ``estimate`` [B,T]; ``noisy`` plays no part. Returns [B]."""
        of_samples = (reference - estimate).square().mean(dim=-1)
        error = (self._magnitude(reference) - self._magnitude(estimate)).abs().mean(dim=-1)
        # The bins between zero and Nyquist stand for their mirror images too.
        of_spectrum = (2 * error.sum(dim=-1) - error[:, 0] - error[:, -1]) / self.frame
        return self.spectral_weight * of_spectrum + (1 - self.spectral_weight) * of_samples

    def _magnitude(self, wave: Tensor) -> Tensor:
        """|Re| + |Im|, which unlike the root of their squares has a bounded gradient everywhere; [B,F,N]."""
        length = wave.shape[-1]
        missing = (self.frame - length) % self.hop if length > self.frame else self.frame - length
        window = torch.hamming_window(self.frame, periodic=False, dtype=wave.dtype, device=wave.device)
        padded = F.pad(wave, (0, missing))
        spectrum = torch.stft(padded, self.frame, self.hop, window=window, center=False, return_complex=True)
        return spectrum.real.abs() + spectrum.imag.abs()
