"""Short-time spectra of batches of waveforms, in torch."""

from __future__ import annotations

import torch
from torch import Tensor

POWER_FLOOR = 1e-7


def stft(wave: Tensor, fft: int, hop: int, window: int) -> Tensor:
    """Complex spectrum of ``wave`` [B,T] -> [B,F,N], F = fft // 2 + 1.

    A periodic Hann window of ``window`` samples, centred in the frame; frames are centred on multiples of ``hop`` and
    the ends are mirrored, so ``wave`` must be longer than fft // 2 samples.
    """
    return torch.stft(
        wave,
        fft,
        hop,
        window,
        window=torch.hann_window(window, dtype=wave.dtype, device=wave.device),
        return_complex=True,
    )


def magnitude(spectrum: Tensor) -> Tensor:
    """|spectrum| with its square floored at 1e-7, so that its logarithm and its gradient stay finite."""
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=POWER_FLOOR).sqrt()
