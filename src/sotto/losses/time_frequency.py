"""TSTNN's loss: squared error of the samples and absolute error of a spectrum's magnitudes.

Wang, He, Zhu (ICASSP 2021), after Pandey and Wang (TASLP 2019): L = a L_F + (1 - a) L_T, with L_T = mean (y - y^)^2
over samples and, over the bins of one STFT,
L_F = mean | (|Re Y| + |Im Y|) - (|Re Y^| + |Im Y^|) |.

Our reading, where we had no text to go by: a = 0.2, and frames of 512 samples with a hop of 256, like the network's
own, under a Hann window. The spectrum is not scaled by the length of its frames, so L_F outweighs L_T by far.
"""

from __future__ import annotations

from torch import Tensor, nn

from sotto.audio.stft import stft


class TimeFrequency(nn.Module):
    """Mean squared error of the samples and mean absolute error of the spectrum's |Re| + |Im|.

    Args:
        spectral_weight: a, the weight of the spectral part; the samples have the rest.
        resolution: (fft, hop, window) of the STFT in samples.
    """

    def __init__(self, spectral_weight: float = 0.2, resolution: tuple[int, int, int] = (512, 256, 512)) -> None:
        super().__init__()
        self.spectral_weight = spectral_weight
        self.resolution = resolution

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """``reference``, ``estimate`` [B,T]; ``noisy`` plays no part. Returns [B]."""
        of_samples = (reference - estimate).square().mean(dim=-1)
        of_spectrum = (self._magnitude(reference) - self._magnitude(estimate)).abs().mean(dim=(1, 2))
        return self.spectral_weight * of_spectrum + (1 - self.spectral_weight) * of_samples

    def _magnitude(self, wave: Tensor) -> Tensor:
        """|Re| + |Im|, which unlike the root of their squares has a bounded gradient everywhere; [B,F,N]."""
        spectrum = stft(wave, *self.resolution)
        return spectrum.real.abs() + spectrum.imag.abs()
