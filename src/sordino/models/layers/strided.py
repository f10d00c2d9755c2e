"""What networks of strided convolutions on the waveform share: scale, lengths, places of frames, initial weights.

DEMUCS (Defossez et al., Interspeech 2020) and MANNER (Park et al., ICASSP 2022) have all of it in common.
"""

from __future__ import annotations

import math
from typing import TypedDict

import torch
from torch import Tensor, nn

SCALE_FLOOR = 1e-3
"""Added to the scale that a waveform is divided by, so that silence stays finite."""


def deviation(noisy: Tensor) -> Tensor:
    """The unbiased standard deviation of each item [B,T] over time: [B,1]."""
    # Of one sample it would be 0 / 0.
    return noisy.std(dim=-1, keepdim=True, correction=min(1, noisy.shape[-1] - 1))


def running_scale(noisy: Tensor, passed: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
    """The root mean square of all samples of a signal up to each one.

    Args:
        noisy: [B,T].
        passed: [B], samples before these.
        energy: [B], the sum of their squares; in double precision, as a stream may go on for days.

    Returns:
        The scales [B,T] and the new energy.
    """
    energies = energy[:, None] + noisy.double().square().cumsum(dim=-1)
    count = passed[:, None] + torch.arange(1, noisy.shape[-1] + 1, device=noisy.device)
    return (energies / count).sqrt().to(noisy.dtype), energies[:, -1]


def valid_length(length: int, kernel: int, stride: int, depth: int) -> int:
    """The smallest length >= ``length`` that ``depth`` strided convolutions, one on the other, divide exactly.

    These are shortest + k stride^depth, the shortest being the one that leaves a single deepest frame. Written so that
    a traced length stays traced: (n + |n|) // 2 is max(n, 0).
    """
    step, shortest = stride**depth, 1
    for _ in range(depth):
        shortest = (shortest - 1) * stride + kernel
    steps = (length - shortest + step - 1) // step
    return shortest + (steps + abs(steps)) // 2 * step


class Frames(TypedDict):
    """Where the frames of a tap lie; see ``sordino.types.Tap``."""

    stride: float
    offset: float


def frames_behind(layers: int, kernel: int, stride: int, rate: int = 1) -> Frames:
    """Where the frames of a tap lie behind ``layers`` strided convolutions without padding.

    A transposed convolution undoes one of them: its output lies on the frames of the layer before.

    Args:
        layers: between the waveform and the tap; 0 is the waveform itself.
        kernel: of each convolution.
        stride: of each convolution.
        rate: multiple of the sampling rate at which they run.
    """
    before = sum(stride**layer for layer in range(layers))
    return {"stride": stride**layers / rate, "offset": (kernel - 1) / 2 * before / rate}


def rescale(module: nn.Module) -> None:
    """Divide a convolution's initial weights by sqrt(std / 0.1), so that all layers start at a like scale."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d)):
        with torch.no_grad():
            scale = math.sqrt(module.weight.std().item() / 0.1)
            module.weight /= scale
            if module.bias is not None:
                module.bias /= scale
