"""Short-time spectra of batches of waveforms, in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from sotto.errors import InputError

POWER_FLOOR = 1e-7


def stft(wave: Tensor, fft: int, hop: int, window: int) -> Tensor:
    """Complex spectrum of ``wave`` [B,T] -> [B,F,N], F = fft // 2 + 1.

    A periodic Hann window of ``window`` samples, centred in the frame; frames are centred on multiples of ``hop`` and
    the ends are mirrored.

    Raises:
        InputError: ``wave`` is not longer than fft // 2 samples.
    """
    if wave.shape[-1] <= fft // 2:
        found = f"{wave.shape[-1]} samples, too few for a spectrum of {fft}"
        raise InputError("segment", found, f"more than {fft // 2}", "lengthen data.segment_s")
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
