"""Depthwise convolution along time, computed on a CPU as a product with a band matrix, forward and backward.

On a CPU a depthwise convolution of [B,C,N] multiplies at a tenth of a core's speed. Cut into segments that overlap by
the kernel's reach, a channel is a matrix, and its convolution is a product with a matrix that holds the kernel in every
column, one row lower from column to column. For a kernel of 31 values that takes three times as many multiplications,
and is still several times faster.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.placement import demand_first_order, on_cpu

SEGMENT = 64
"""Output samples of a segment."""

# pyright: reportIncompatibleMethodOverride=false


class Depthwise(nn.Conv1d):
    """Depthwise ``nn.Conv1d``, [B,C,N] -> [B,C,N], with a kernel of odd length and without bias."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if not on_cpu(input):
            return super().forward(input)
        return _Depthwise.apply(input, self.weight[:, 0])


class _Depthwise(torch.autograd.Function):
    """Convolution of ``x`` [B,C,N] with ``weight`` [C,K], zero-padded such that the length is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolved(_segments(x, weight.shape[1]), weight, x.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        demand_first_order()
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        channels, kernel = weight.shape
        segments = _segments(gradient, kernel)
        # The gradient of the input is a convolution of the output's gradient with the reversed kernel.
        to_x = _convolved(segments, weight.flip(1), x.shape) if ctx.needs_input_grad[0] else None
        reach = kernel // 2
        products = _segments(x, kernel).transpose(1, 2) @ segments[..., reach : reach + SEGMENT]
        # The gradient of the band matrix holds that of every value of the kernel along a diagonal, which is summed.
        # as_strided reads diagonal k, which begins at row k and goes one row down and one column right.
        rows = SEGMENT + 2 * reach
        diagonals = products.as_strided((channels, kernel, SEGMENT), (rows * SEGMENT, SEGMENT, SEGMENT + 1))
        return to_x, diagonals.sum(dim=-1)


def _segments(x: Tensor, kernel: int) -> Tensor:
    """Cut ``x`` [B,C,N] into P segments with the kernel's reach on both sides: [C,B P,SEGMENT + kernel - 1]."""
    reach, length = kernel // 2, x.shape[-1]
    padded = F.pad(x, (reach, reach + -length % SEGMENT))
    return padded.unfold(-1, SEGMENT + 2 * reach, SEGMENT).transpose(0, 1).flatten(1, 2)


def _convolved(segments: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
    """Multiply ``segments`` by the band matrices of ``weight`` [C,K], and join the products to ``shape`` [B,C,N]."""
    batch, channels, length = shape
    band = F.pad(weight, (SEGMENT - 1, SEGMENT - 1)).unfold(1, SEGMENT, 1).flip(-1)
    joined = torch.bmm(segments, band).view(channels, batch, -1)
    return joined[..., :length].transpose(0, 1).contiguous()
