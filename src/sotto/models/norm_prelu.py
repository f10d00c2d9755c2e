"""Batch norm and a parametric ReLU in one pass over memory, forward and backward, for training on a CPU.

One after the other and operation by operation, the two read and write a feature map some twenty times, and torch's
backward pass of PReLU decides value by value. Here every operation works on a block of rows that stays in the cache of
a core, and statistics of blocks are merged as in Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for
computing sample variances", 1979, which loses no digits where torch's sums over channels side by side do.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

BLOCK = 1 << 16
"""Values in a block: 256 KB in single precision, of which a backward pass holds seven."""

# pyright: reportIncompatibleMethodOverride=false


class NormPRelu(nn.Sequential):
    """Batch norm and PReLU with a slope for each channel: [B,C,N,F] -> [B,C,N,F].

    ``forward`` takes a feature map, or a longer one of which the last frequencies are to be left out: reading the part
    costs nothing, cutting it out would cost a copy.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(nn.BatchNorm2d(channels), nn.PReLU(channels))

    def forward(self, input: Tensor, frequencies: int | None = None) -> Tensor:
        """``frequencies``: how many to keep; all by default."""
        frequencies = frequencies or input.shape[-1]
        norm, slope = cast(nn.BatchNorm2d, self[0]), cast(nn.PReLU, self[1]).weight
        if not norm.training or input.device.type != "cpu" or input.dtype != slope.dtype:
            return super().forward(input[..., :frequencies])
        output, mean, variance = _NormPRelu.apply(input, norm.weight, norm.bias, slope, norm.eps, frequencies)
        with torch.no_grad():
            count = input.numel() // input.shape[1] // input.shape[-1] * frequencies
            cast(Tensor, norm.num_batches_tracked).add_(1)
            cast(Tensor, norm.running_mean).lerp_(mean, cast(float, norm.momentum))
            cast(Tensor, norm.running_var).lerp_(variance * (count / (count - 1)), cast(float, norm.momentum))
        return output


class _NormPRelu(torch.autograd.Function):
    """The output, and mean and biased variance of the input [C]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, slope: Tensor, eps: float, frequencies: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        channels, wide = x.shape[1], x.movedim(1, -1).flatten(2).flatten(0, 1)
        rows = wide[:, : frequencies * channels]
        mean, variance = _moments(rows, channels)
        deviation = (variance + eps).rsqrt()
        factor = scale * deviation
        factors, offsets, slopes = (
            one.repeat(frequencies) for one in (factor, torch.addcmul(shift, mean, factor, value=-1), slope)
        )
        output = torch.empty(rows.shape, dtype=x.dtype)
        scratch = torch.empty(2, *_block(rows).shape, dtype=x.dtype)
        for part, out in zip(_blocks(rows), _blocks(output), strict=True):
            value, negative = scratch[:, : len(part)]
            torch.addcmul(offsets, part, factors, out=value)
            torch.clamp(value, max=0, out=negative)
            torch.addcmul(value.clamp_(min=0), negative, slopes, out=out)
        ctx.save_for_backward(wide, scale, shift, slope, mean, deviation)
        ctx.frequencies, ctx.shape = frequencies, x.shape
        ctx.mark_non_differentiable(mean, variance)
        return _map(output, x.shape), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        wide, scale, shift, slope, mean, deviation = ctx.saved_tensors
        frequencies, channels = ctx.frequencies, len(scale)
        columns = frequencies * channels
        rows, given = wide[:, :columns], gradients[0].movedim(1, -1).flatten(2).flatten(0, 1)
        to_input = torch.empty_like(wide)
        to_input[:, columns:] = 0
        inner = to_input[:, :columns]
        tiled = (scale, shift, slope, deviation, -mean * deviation)
        scales, shifts, slopes, deviations, offsets = (one.repeat(frequencies) for one in tiled)
        scratch = torch.empty(5, *_block(rows).shape, dtype=wide.dtype)
        sums = torch.zeros(4, columns, dtype=wide.dtype)
        for part, gradient, out in zip(_blocks(rows), _blocks(given), _blocks(inner), strict=True):
            normal, bent, bent_normal, passed, passed_normal = scratch[:, : len(part)]
            torch.addcmul(offsets, part, deviations, out=normal)
            value = torch.addcmul(shifts, normal, scales, out=bent_normal)
            torch.ops.aten.threshold_backward.grad_input(gradient, value, 0, grad_input=passed)  # where it is positive
            torch.sub(gradient, passed, out=bent)
            torch.addcmul(passed, bent, slopes, out=passed)
            torch.mul(bent, normal, out=bent_normal)
            torch.mul(passed, normal, out=passed_normal)
            out.copy_(passed)
            sums += scratch[1:, : len(part)].sum(dim=1)
        bent, bent_normal, passed, passed_normal = sums.unflatten(1, (frequencies, channels)).sum(dim=1)
        count = len(rows) * frequencies
        factor = scale * deviation
        linear = -factor * deviation * passed_normal / count
        constant = -factor * passed / count - linear * mean
        factors, linears, constants = (one.repeat(frequencies) for one in (factor, linear, constant))
        for part, out in zip(_blocks(rows), _blocks(inner), strict=True):
            rest = torch.addcmul(constants, part, linears, out=scratch[0, : len(part)])
            torch.addcmul(rest, out, factors, out=out)
        return _map(to_input, ctx.shape), passed_normal, passed, scale * bent_normal + shift * bent, None, None


def _moments(rows: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of the channels [C] of rows of frequencies and channels [R,F C]."""
    sums, squares, counts = [], [], []
    scratch = torch.empty_like(_block(rows))
    for part in _blocks(rows):
        total = part.sum(dim=0)
        centred = torch.sub(part, total / len(part), out=scratch[: len(part)])
        sums.append(total)
        squares.append(centred.square_().sum(dim=0))
        counts.append(len(part))
    count = torch.tensor(counts, dtype=rows.dtype)[:, None, None]
    total, square = (torch.stack(one).unflatten(1, (-1, channels)) for one in (sums, squares))
    whole = rows.numel() / channels
    mean = total.sum(dim=(0, 1)) / whole
    between = (total / count - mean).square() * count
    return mean, (square + between).sum(dim=(0, 1)) / whole


def _blocks(rows: Tensor) -> tuple[Tensor, ...]:
    return rows.split(max(1, BLOCK // rows.shape[1]))


def _block(rows: Tensor) -> Tensor:
    """The first block, which is the largest."""
    return rows[: max(1, BLOCK // rows.shape[1])]


def _map(rows: Tensor, shape: torch.Size) -> Tensor:
    """Rows [B N,F C] as a feature map [B,C,N,F]."""
    return rows.view(shape[0], shape[2], -1, shape[1]).movedim(-1, 1)
