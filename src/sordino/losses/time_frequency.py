"""TSTNN's loss: squared error of the samples plus absolute error of the magnitudes of a spectrum.

Wang, He, Zhu (ICASSP 2021), after Pandey and Wang (TASLP 2019): L = a L_F + (1 - a) L_T, with L_T = mean (y - y^)^2
over samples and, over all frames and all bins of one discrete Fourier transform, those above Nyquist included,
L_F = mean | (|Re Y| + |Im Y|) - (|Re Y^| + |Im Y^|) |.

The weights and the spectrum are those of the authors' public code (github.com/key2miao/TSTNN): a = 0.6, frames of 512
samples with a hop of 256 from the first sample on, the last one padded with zeros, a symmetric Hamming window, and no
scaling. L_F therefore outweighs L_T by far. Difference: the padding at the end of a short item counts like the rest.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.audio.stft import check_resolution


class TimeFrequency(nn.Module):
    """Mean squared error of the samples plus mean absolute error of the spectrum's |Re| + |Im|, one value per item.

    Args:
        spectral_weight: weight a of the spectral part; the samples have 1 - a.
        resolution: (frame, hop) of the spectrum in samples; the frame is even.
    """

    def __init__(self, spectral_weight: float = 0.6, resolution: tuple[int, int] = (512, 256)) -> None:
        super().__init__()
        if not 0 <= spectral_weight <= 1:
            raise ValueError(f"spectral_weight is a share, 0 to 1, not {spectral_weight}")
        check_resolution(resolution[0], resolution[1], resolution[0])
        self.spectral_weight = spectral_weight
        self.frame, self.hop = resolution

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the loss of ``estimate`` [B,T] against ``reference`` [B,T]; ``noisy`` is unused. Returns [B]."""
        of_samples = (reference - estimate).square().mean(dim=-1)
        error = (self._magnitude(reference) - self._magnitude(estimate)).abs().mean(dim=-1)
        # The paper averages over all bins of the transform: those between zero and Nyquist have a mirror image.
        of_spectrum = (2 * error.sum(dim=-1) - error[:, 0] - error[:, -1]) / self.frame
        return self.spectral_weight * of_spectrum + (1 - self.spectral_weight) * of_samples

    def _magnitude(self, wave: Tensor) -> Tensor:
        """Compute |Re| + |Im| [B,F,N]; unlike the root of the sum of squares it has a bounded gradient everywhere."""
        length = wave.shape[-1]
        # Zeros that complete the last frame.
        missing = (self.frame - length) % self.hop if length > self.frame else self.frame - length
        window = torch.hamming_window(self.frame, periodic=False, dtype=wave.dtype, device=wave.device)
        padded = F.pad(wave, (0, missing))
        spectrum = torch.stft(padded, self.frame, self.hop, window=window, center=False, return_complex=True)
        return spectrum.real.abs() + spectrum.imag.abs()
