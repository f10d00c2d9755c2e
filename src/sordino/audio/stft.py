"""Short-time Fourier transform of batches of waveforms, in torch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.errors import InputError
from sordino.placement import on_cpu

POWER_FLOOR = 1e-7
"""Least squared magnitude of a bin."""

# pyright: reportIncompatibleMethodOverride=false


def stft(wave: Tensor, fft: int, hop: int, window: int) -> Tensor:
    """Compute the complex spectrum of ``wave`` [B,T]: [B,F,N], F = fft // 2 + 1.

    The window is a periodic Hann window of ``window`` samples, centred in the frame of ``fft``. Frames are centred on
    multiples of ``hop``; both ends of the signal are padded by reflection. ``fft`` is even.

    Raises:
        InputError: ``wave`` is not longer than fft // 2 samples.
    """
    if wave.shape[-1] <= fft // 2:
        found = f"{wave.shape[-1]} samples, too few for a spectrum of {fft}"
        raise InputError("segment", found, f"more than {fft // 2}", "lengthen data.segment_s")
    hann = torch.hann_window(window, dtype=wave.dtype, device=wave.device)
    if on_cpu(wave):
        return _Stft.apply(wave, hann, fft, hop)
    return torch.stft(wave, fft, hop, window, window=hann, return_complex=True)


def check_resolution(fft: int, hop: int, window: int) -> None:
    """Check the arguments of ``stft`` before a run begins.

    Raises:
        ValueError: an odd fft, a window that is longer, or no hop.
    """
    if fft % 2 or not 1 <= window <= fft or hop < 1:
        raise ValueError(f"a resolution is (fft, hop, window) with an even fft >= window, not ({fft}, {hop}, {window})")


class _Stft(torch.autograd.Function):
    """``torch.stft`` with a faster backward pass on a CPU.

    torch's own backward pass transforms complex frames of which half is zero, and adds the frames sample by sample.
    This one uses a real transform, and adds whole hops.
    """

    @staticmethod
    def forward(ctx: Any, wave: Tensor, window: Tensor, fft: int, hop: int) -> Tensor:
        first = (fft - len(window)) // 2
        middle = slice(first, first + len(window))
        parts = F.pad(wave.unsqueeze(1), (fft // 2, fft // 2), mode="reflect")[:, 0].unfold(-1, fft, hop)
        # Outside of the window a frame is zero: only its middle is written.
        frames = parts.new_zeros(parts.shape)
        torch.mul(parts[..., middle], window, out=frames[..., middle])
        ctx.save_for_backward(window)
        ctx.fft, ctx.hop, ctx.middle, ctx.length = fft, hop, middle, wave.shape[-1]
        return torch.fft.rfft(frames).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (window,), fft, length = ctx.saved_tensors, ctx.fft, ctx.length
        # The adjoint of a real transform is an inverse one, up to weights: irfft counts every bin but the first and
        # the last twice, because it stands for two bins of a complex transform.
        shares = window.new_full((fft // 2 + 1,), 0.5)
        shares[0] = shares[-1] = 1
        frames = torch.fft.irfft(gradients[0].transpose(1, 2) * shares, fft, norm="forward")
        added = _overlap_add(frames[..., ctx.middle] * window, ctx.hop)
        padded = F.pad(added, (ctx.middle.start, length + fft - ctx.middle.start - added.shape[-1]))
        left, wave, right = padded.split([fft // 2, length, fft // 2], dim=-1)
        # The adjoint of padding by reflection adds the padded ends, mirrored, to the samples that they came from.
        wave = wave.clone()
        wave[:, 1 : fft // 2 + 1] += left.flip(-1)
        wave[:, -fft // 2 - 1 : -1] += right.flip(-1)
        return wave, None, None, None


def _overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Add frames [B,N,W] that start ``hop`` samples apart: [B,(N - 1) hop + W]."""
    batch, count, width = frames.shape
    hops = -(-width // hop)  # rounded up
    added = frames.new_zeros(batch, count - 1 + hops, hop)
    for index, part in enumerate(frames.split(hop, dim=-1)):
        added[:, index : index + count, : part.shape[-1]] += part
    return added.flatten(1)[:, : (count - 1) * hop + width]


def magnitude(spectrum: Tensor) -> Tensor:
    """Return |spectrum|, its square floored at 1e-7 so that its logarithm and its gradient stay finite."""
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=POWER_FLOOR).sqrt()


def planes(spectrum: Tensor) -> Tensor:
    """Return the real and the imaginary part of a complex spectrum [...] as two contiguous arrays, [2,...]."""
    return torch.view_as_real(spectrum).movedim(-1, 0).contiguous()
