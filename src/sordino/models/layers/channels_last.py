"""Use of torch's memory format ``channels_last`` for features [B,C,N,F] on a CPU, where it is faster.

In this format the channels of a value lie next to each other in memory. A pointwise convolution is then one matrix
product, and a depthwise one uses oneDNN's vectorised kernels, forward and backward, which it does not use in torch's
default format. Parameters, results and exported graphs are those of torch's own modules; the gradients agree within
rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.placement import on_cpu

# pyright: reportIncompatibleMethodOverride=false


FRAMES = 8
"""Least number of frames for which the format saves more time than its conversion takes; a live stream has fewer."""


def takes_channels_last(x: Tensor) -> bool:
    """Whether layers should process ``x`` [B,C,N,F] in this format: on a CPU, with at least ``FRAMES`` frames."""
    # First the test of an export, under which the number of frames is a symbol that must not be compared.
    return not torch.compiler.is_exporting() and x.shape[2] >= FRAMES and on_cpu(x)


def channels_last(x: Tensor) -> Tensor:
    """Convert ``x`` [B,C,N,F] to the format ``channels_last``; a copy only if it has another one."""
    return x.contiguous(memory_format=torch.channels_last)


class Pointwise(nn.Conv2d):
    """``nn.Conv2d`` with a 1x1 kernel, computed as one matrix product over the channels."""

    def __init__(self, c_in: int, c_out: int, bias: bool = True) -> None:
        super().__init__(c_in, c_out, 1, bias=bias)

    def forward(self, input: Tensor, copies: int = 1) -> Tensor:
        """Compute the output, [B,copies c_out,N,F].

        Args:
            input: [B,c_in,N,F].
            copies: how often the output's channels are repeated; 1 wherever the format is not used.
        """
        if not takes_channels_last(input):
            return super().forward(input)
        weight, bias = self.weight[:, :, 0, 0], self.bias
        if copies > 1:
            # Repeated weights give the copies in the same product, without copying the output.
            weight = weight.repeat(copies, 1)
            bias = None if bias is None else bias.repeat(copies)
        # In this format the axes [B,N,F,C] are contiguous: movedim copies nothing.
        return F.linear(input.movedim(1, -1), weight, bias).movedim(-1, 1)
