"""Layers over [B,C,N,F] that are fast on a CPU when channels lie side by side in memory (``torch.channels_last``).

In this layout a pointwise convolution is one matrix product, and a depthwise one takes oneDNN's vectorised kernels,
forward and backward, which it does not take in torch's default layout. Parameters, results and exported graphs are
those of torch's own modules; the gradients agree within rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.placement import on_cpu

# pyright: reportIncompatibleMethodOverride=false


FRAMES = 8
"""From how many frames on the layout saves more than it takes to prepare; a live stream brings one at a time."""


def takes_channels_last(x: Tensor) -> bool:
    """Whether layers over ``x`` [B,C,N,F] work in this layout: on a CPU, with more than a few frames."""
    return not torch.compiler.is_exporting() and x.shape[2] >= FRAMES and on_cpu(x)


def channels_last(x: Tensor) -> Tensor:
    """``x`` [B,C,N,F] with its channels side by side in memory."""
    return x.contiguous(memory_format=torch.channels_last)


class Pointwise(nn.Conv2d):
    """``nn.Conv2d`` with a kernel of 1x1, as one matrix product over the channels."""

    def __init__(self, c_in: int, c_out: int, bias: bool = True) -> None:
        super().__init__(c_in, c_out, 1, bias=bias)

    def forward(self, input: Tensor, copies: int = 1) -> Tensor:
        """``copies``: how many times the output is given, one behind the other as channels [B,copies c_out,N,F]."""
        if not takes_channels_last(input):
            return super().forward(input)
        weight, bias = self.weight[:, :, 0, 0], self.bias
        if copies > 1:
            weight, bias = weight.repeat(copies, 1), None if bias is None else bias.repeat(copies)
        return F.linear(input.movedim(1, -1), weight, bias).movedim(-1, 1)
