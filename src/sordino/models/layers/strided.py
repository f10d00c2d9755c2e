"""Functions for networks of strided convolutions on the waveform: input scale, lengths, tap positions, initial weights.

DEMUCS (Defossez et al., Interspeech 2020) and MANNER (Park et al., ICASSP 2022) share all of them.
"""

from __future__ import annotations

import math
from typing import TypedDict, cast

import torch
from torch import Tensor, nn

SCALE_FLOOR = 1e-3
"""Added to the scale that a waveform is divided by, so that silence stays finite."""
DEEPEST = 32
"""Layers of an encoder. A file that states more would keep the constructor busy before any weight is made."""


def deviation(noisy: Tensor) -> Tensor:
    """Return the unbiased standard deviation of each item [B,T] over time: [B,1]; 0 for a single sample."""
    # The unbiased estimate of one sample would be 0 / 0.
    return noisy.std(dim=-1, keepdim=True, correction=min(1, noisy.shape[-1] - 1))


def precise(device: torch.device) -> torch.dtype:
    """Return double precision where the device has it; Apple's GPUs have none."""
    return torch.float32 if device.type == "mps" else torch.float64


def running_scale(noisy: Tensor, passed: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
    """Compute, for every sample, the root mean square of all samples of the signal up to it.

    Args:
        noisy: [B,T].
        passed: [B], number of samples before these.
        energy: [B], sum of the squares of the samples before; in double precision where there is one, as a stream may
            last for days.

    Returns:
        The scales [B,T] and the new energy.
    """
    energies = energy[:, None] + noisy.to(precise(noisy.device)).square().cumsum(dim=-1)
    count = passed[:, None] + torch.arange(1, noisy.shape[-1] + 1, device=noisy.device)
    return (energies / count).sqrt().to(noisy.dtype), energies[:, -1]


def valid_length(length: int, kernel: int, stride: int, depth: int) -> int:
    """Return the smallest length, at least ``length``, that ``depth`` stacked strided convolutions cover exactly.

    These lengths are shortest + k stride^depth, where the shortest one gives a single frame of the deepest layer.
    """
    step, shortest = stride**depth, 1
    for _ in range(depth):
        shortest = (shortest - 1) * stride + kernel
    steps = (length - shortest + step - 1) // step
    # Python's max would fix the length of an exported graph to that of the example.
    return shortest + cast(int, torch.sym_max(steps, 0)) * step


class Frames(TypedDict):
    """Position of a tap's frames in the signal; see ``sordino.types.Tap``."""

    stride: float
    offset: float


def frames_behind(layers: int, kernel: int, stride: int, rate: int = 1) -> Frames:
    """Compute the position of a tap's frames after ``layers`` strided convolutions without padding.

    A transposed convolution reverses one of them: its output has the frames of the layer before.

    Args:
        layers: number of convolutions between the waveform and the tap; 0 is the waveform itself.
        kernel: kernel size of each convolution.
        stride: stride of each convolution.
        rate: multiple of the sampling rate at which they run.
    """
    before = sum(stride**layer for layer in range(layers))
    return {"stride": stride**layers / rate, "offset": (kernel - 1) / 2 * before / rate}


def rescale(module: nn.Module) -> None:
    """Divide a convolution's initial weights by sqrt(std / 0.1), so that all layers start at a similar scale."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d)):
        with torch.no_grad():
            scale = math.sqrt(module.weight.std().item() / 0.1)
            module.weight /= scale
            if module.bias is not None:
                module.bias /= scale
