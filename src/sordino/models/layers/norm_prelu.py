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

from sordino.models.layers.channels_last import channels_last, takes_channels_last
from sordino.placement import on_cpu

BLOCK = 1 << 17
"""Values in a block: 512 KB in single precision, a quarter of the second cache of a server's core."""

# pyright: reportIncompatibleMethodOverride=false


class NormPRelu(nn.Sequential):
    """Batch norm and PReLU with a slope for each channel: [B,C,N,F] -> [B,C,N,F].

    The input may be longer than what counts: to read a part of it costs nothing, to cut it out would cost a copy.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(nn.BatchNorm2d(channels), nn.PReLU(channels))

    def forward(self, input: Tensor, frames: int, frequencies: int) -> Tensor:
        """``frames`` and ``frequencies`` say how many of the first ones to read."""
        if not self.training or not on_cpu(input):
            return super().forward(_cropped(input, frames, frequencies))
        norm, slope = cast(nn.BatchNorm2d, self[0]), cast(nn.PReLU, self[1]).weight
        if not norm.training or input.dtype != slope.dtype:
            return super().forward(_cropped(input, frames, frequencies))
        output, mean, variance = _NormPRelu.apply(input, norm.weight, norm.bias, slope, norm.eps, frames, frequencies)
        with torch.no_grad():
            count = len(input) * frames * frequencies
            cast(Tensor, norm.num_batches_tracked).add_(1)
            cast(Tensor, norm.running_mean).lerp_(mean, cast(float, norm.momentum))
            cast(Tensor, norm.running_var).lerp_(variance * (count / (count - 1)), cast(float, norm.momentum))
        return output


class _NormPRelu(torch.autograd.Function):
    """The output, and mean and biased variance of the input [C]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, slope: Tensor, eps: float, frames: int, frequencies: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        channels, wide = x.shape[1], x.movedim(1, -1).flatten(2)
        ctx.frames, ctx.columns, ctx.frequencies = frames, frequencies * channels, x.shape[3]
        blocks = _blocks(wide[:, :frames, : ctx.columns])
        mean, variance = _moments(blocks, channels)
        deviation = (variance + eps).rsqrt()
        factor = scale * deviation
        factors, offsets, slopes = (
            one.repeat(frequencies) for one in (factor, torch.addcmul(shift, mean, factor, value=-1), slope)
        )
        output = x.new_empty(len(x), frames, ctx.columns)
        scratch = torch.empty(2, *blocks[0].shape, dtype=x.dtype)
        for part, out in zip(blocks, _blocks(output), strict=True):
            value, positive = scratch[:, : len(part)]
            torch.addcmul(offsets, part, factors, out=value)
            torch.clamp(value, min=0, out=positive)
            torch.lerp(positive, value, slopes, out=out)
        ctx.save_for_backward(wide, scale, shift, slope, mean, deviation)
        ctx.mark_non_differentiable(mean, variance)
        return output.unflatten(2, (frequencies, channels)).movedim(-1, 1), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        wide, scale, shift, slope, mean, deviation = ctx.saved_tensors
        frames, columns, channels = ctx.frames, ctx.columns, len(scale)
        frequencies = columns // channels
        to_input = torch.empty_like(wide)
        to_input[:, :, columns:] = 0
        to_input[:, frames:, :columns] = 0
        inner = _blocks(to_input[:, :frames, :columns])
        blocks = _blocks(wide[:, :frames, :columns])
        tiled = (scale, shift, slope, deviation, -mean * deviation)
        scales, shifts, slopes, deviations, offsets = (one.repeat(frequencies) for one in tiled)
        scratch = torch.empty(3, *blocks[0].shape, dtype=wide.dtype)
        sums = torch.empty(4, len(blocks), columns, dtype=wide.dtype)
        given = _blocks(gradients[0].movedim(1, -1).flatten(2))
        for part, gradient, out, *totals in zip(blocks, given, inner, *sums, strict=True):
            normal, value, passed = scratch[:, : len(part)]
            torch.addcmul(offsets, part, deviations, out=normal)
            torch.addcmul(shifts, normal, scales, out=value)
            torch.ops.aten.threshold_backward.grad_input(gradient, value, 0, grad_input=passed)  # where it is positive
            torch.lerp(passed, gradient, slopes, out=out)
            torch.sum(gradient, 0, out=totals[0])
            torch.sum(passed, 0, out=totals[1])
            torch.sum(torch.mul(gradient, normal, out=value), 0, out=totals[2])
            torch.sum(passed.mul_(normal), 0, out=totals[3])
        whole, passed, whole_normal, passed_normal = sums.unflatten(2, (frequencies, channels)).sum(dim=(1, 2))
        bent, bent_normal = whole - passed, whole_normal - passed_normal
        to_shift, to_scale = passed + slope * bent, passed_normal + slope * bent_normal
        count = len(wide) * frames * frequencies
        factor = scale * deviation
        linear = -factor * deviation * to_scale / count
        constant = -factor * to_shift / count - linear * mean
        factors, linears, constants = (one.repeat(frequencies) for one in (factor, linear, constant))
        for part, out in zip(blocks, inner, strict=True):
            rest = torch.addcmul(constants, part, linears, out=scratch[0, : len(part)])
            torch.addcmul(rest, out, factors, out=out)
        to_input = to_input.unflatten(2, (ctx.frequencies, channels)).movedim(-1, 1)
        return to_input, to_scale, to_shift, scale * bent_normal + shift * bent, None, None, None


def _moments(blocks: list[Tensor], channels: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of the channels [C] of blocks [R,F C]."""
    sums, squares, counts = [], [], []
    scratch = torch.empty_like(blocks[0])
    for part in blocks:
        total = part.sum(dim=0)
        centred = torch.sub(part, total / len(part), out=scratch[: len(part)])
        sums.append(total)
        squares.append(centred.square_().sum(dim=0))
        counts.append(len(part))
    count = scratch.new_tensor(counts)[:, None, None]
    total, square = (torch.stack(one).unflatten(1, (-1, channels)) for one in (sums, squares))
    whole = sum(counts) * scratch.shape[1] // channels
    mean = total.sum(dim=(0, 1)) / whole
    between = (total / count - mean).square() * count
    return mean, (square + between).sum(dim=(0, 1)) / whole


def _blocks(maps: Tensor) -> list[Tensor]:
    """Blocks [R,F C] of [B,N,F C], the first of which is the largest."""
    rows = max(1, BLOCK // maps.shape[2])
    return [block for one in maps for block in one.split(rows)]


def _cropped(x: Tensor, frames: int, frequencies: int) -> Tensor:
    """The first frames and frequencies; a graph takes no slice of what is whole."""
    if x.shape[2:] == (frames, frequencies):
        return x
    cropped = x[:, :, :frames, :frequencies]
    return channels_last(cropped) if takes_channels_last(cropped) else cropped
