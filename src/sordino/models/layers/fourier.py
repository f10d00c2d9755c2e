"""Spectra of real frames that can be exported, with real and imaginary parts as separate tensors.

In torch they are computed by ``torch.fft``. An exported graph gets two symmetric matrices of cosines and sines instead,
used in both directions: with them the causal U-Net runs 1.7 times faster on onnxruntime than with its operator DFT, and
its output is 60 times closer to torch's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

COMPRESSION = 0.3
"""Exponent of the compressed magnitudes."""


class RealFourier(nn.Module):
    """Fourier transform of frames of ``window`` samples, an even number, to F = window // 2 + 1 bins and back."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        bins = torch.arange(window // 2 + 1)
        angle = (bins.outer(bins) % window).double() * (2 * math.pi / window)
        # The first and the last sample (or bin) have no mirror image: they are in both halves below, so count half.
        ends = torch.ones(len(bins))
        ends[[0, -1]] = 0.5
        self.register_buffer("cosines", angle.cos().float(), persistent=False)
        self.register_buffer("sines", angle.sin().float(), persistent=False)
        self.register_buffer("ends", ends, persistent=False)
        self.cosines: Tensor
        self.sines: Tensor
        self.ends: Tensor

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Transform [...,window]; returns real and imaginary part, [...,F] each."""
        if not torch.compiler.is_exporting():
            spectrum = torch.fft.rfft(frames)
            return spectrum.real, spectrum.imag
        # Samples n and window - n are multiplied by the same cosine and by opposite sines, so their sum and difference
        # need only half of each matrix.
        head = frames[..., : len(self.ends)]
        tail = torch.cat([frames[..., :1], frames.flip(-1)[..., : len(self.ends) - 1]], dim=-1)
        return ((head + tail) * self.ends) @ self.cosines, (tail - head) @ self.sines

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Transform back: real and imaginary part, [...,F] each -> [...,window]."""
        if not torch.compiler.is_exporting():
            return torch.fft.irfft(torch.complex(real, imaginary), self.window)
        even, odd = (real * self.ends) @ self.cosines, imaginary @ self.sines
        tail = (even + odd)[..., 1:-1].flip(-1)
        return torch.cat([even - odd, tail], dim=-1) * (2 / self.window)


def masked(spectrum: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Multiply a spectrum by a complex mask, both [B,2,N,F]; returns real and imaginary part, [B,N,F] each."""
    real, imaginary = spectrum.unbind(1)
    mask_real, mask_imaginary = mask.unbind(1)
    return real * mask_real - imaginary * mask_imaginary, real * mask_imaginary + imaginary * mask_real


def compress(spectrum: Tensor, power_floor: float, silent_zero: bool = False) -> Tensor:
    """Compress a spectrum by the power law |X|^0.3; phases are kept.

    Args:
        spectrum: real and imaginary parts, [B,2,N,F].
        power_floor: |X|^2 below which the compression is linear, so that its slope stays finite.
        silent_zero: whether the returned magnitude goes to 0 below the floor, with the power, or stays constant there.

    Returns:
        Real part, imaginary part and magnitude of |X|^0.3 X/|X|, [B,3,N,F].
    """
    power = spectrum.square().sum(dim=1, keepdim=True)
    floored = power.clamp(min=power_floor)
    compressed = spectrum * floored.pow((COMPRESSION - 1) / 2)
    if silent_zero:
        # Clamped once more, and not ``floored``: that would change the order in which gradients are summed.
        magnitude = power * power.clamp(min=power_floor).pow(COMPRESSION / 2 - 1)
    else:
        magnitude = floored.pow(COMPRESSION / 2)
    return torch.cat([compressed, magnitude], dim=1)
