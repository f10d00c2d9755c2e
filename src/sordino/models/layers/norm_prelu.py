"""Batch norm followed by PReLU, fused for training on a CPU: fewer passes over memory, forward and backward.

As two separate torch modules they read and write a feature map some twenty times, and torch's backward pass of PReLU
branches for every value. Here every operation works on a block of rows that stays in the cache of a core. The mean and
variance of the blocks are merged as in Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for computing
sample variances", 1979, which keeps digits that torch's sums over a tensor in ``channels_last`` lose.

With x^ = (x - mean) / sqrt(variance + eps), the output is y = PReLU(v), v = scale x^ + shift. A row of a block is one
frame: F frequencies times C channels, channels innermost. Values per channel are repeated F times to match a row.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from sordino.models.layers.channels_last import channels_last, takes_channels_last
from sordino.placement import demand_first_order, on_cpu

BLOCK = 1 << 17
"""Values in a block: 512 KB in single precision, a quarter of the second-level cache of a server's core."""

# pyright: reportIncompatibleMethodOverride=false


class NormPRelu(nn.Sequential):
    """Batch norm and PReLU with a slope for each channel: [B,C,N',F'] -> [B,C,N,F].

    The input may have more frames and frequencies than the output, N' >= N and F' >= F. Reading only a part of it costs
    nothing, cutting the part out before would cost a copy.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(nn.BatchNorm2d(channels), nn.PReLU(channels))

    def forward(self, input: Tensor, frames: int, frequencies: int) -> Tensor:
        """Normalise the first ``frames`` (N) and ``frequencies`` (F) of ``input``."""
        if not self.training or not on_cpu(input):
            return super().forward(_cropped(input, frames, frequencies))
        norm, slope = cast(nn.BatchNorm2d, self[0]), cast(nn.PReLU, self[1]).weight
        if not norm.training or input.dtype != slope.dtype:
            return super().forward(_cropped(input, frames, frequencies))
        output, mean, variance = _NormPRelu.apply(input, norm.weight, norm.bias, slope, norm.eps, frames, frequencies)
        # The running statistics, as batch norm itself updates them: with the unbiased variance.
        with torch.no_grad():
            count = len(input) * frames * frequencies
            cast(Tensor, norm.num_batches_tracked).add_(1)
            cast(Tensor, norm.running_mean).lerp_(mean, cast(float, norm.momentum))
            cast(Tensor, norm.running_var).lerp_(variance * (count / (count - 1)), cast(float, norm.momentum))
        return output


class _NormPRelu(torch.autograd.Function):
    """Fused batch norm and PReLU; returns the output [B,C,N,F], and mean and biased variance of the input, [C] each."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, slope: Tensor, eps: float, frames: int, frequencies: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        channels, wide = x.shape[1], x.movedim(1, -1).flatten(2)
        ctx.frames, ctx.columns, ctx.frequencies = frames, frequencies * channels, x.shape[3]
        blocks = _blocks(wide[:, :frames, : ctx.columns])
        mean, variance = _moments(blocks, channels)
        deviation = (variance + eps).rsqrt()
        # v = x factor + offset, with factor = scale deviation and offset = shift - mean factor.
        factor = scale * deviation
        offset = torch.addcmul(shift, mean, factor, value=-1)
        factors, offsets, slopes = (of_channel.repeat(frequencies) for of_channel in (factor, offset, slope))
        output = x.new_empty(len(x), frames, ctx.columns)
        scratch = torch.empty(2, *blocks[0].shape, dtype=x.dtype)
        for part, out in zip(blocks, _blocks(output), strict=True):
            value, positive = scratch[:, : len(part)]
            torch.addcmul(offsets, part, factors, out=value)
            # PReLU without a branch: max(v, 0) + slope (v - max(v, 0)).
            torch.clamp(value, min=0, out=positive)
            torch.lerp(positive, value, slopes, out=out)
        ctx.save_for_backward(wide, scale, shift, slope, mean, deviation)
        ctx.mark_non_differentiable(mean, variance)
        return output.unflatten(2, (frequencies, channels)).movedim(-1, 1), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        demand_first_order()
        wide, scale, shift, slope, mean, deviation = ctx.saved_tensors
        frames, columns, channels = ctx.frames, ctx.columns, len(scale)
        frequencies = columns // channels
        # What was not read has no gradient.
        to_input = torch.empty_like(wide)
        to_input[:, :, columns:] = 0
        to_input[:, frames:, :columns] = 0
        inner = _blocks(to_input[:, :frames, :columns])
        blocks = _blocks(wide[:, :frames, :columns])
        of_channels = (scale, shift, slope, deviation, -mean * deviation)
        scales, shifts, slopes, deviations, offsets = (one.repeat(frequencies) for one in of_channels)
        scratch = torch.empty(3, *blocks[0].shape, dtype=wide.dtype)
        given = _blocks(gradients[0].movedim(1, -1).flatten(2))
        sums = _back_through_prelu(blocks, given, inner, scratch, (scales, shifts, slopes, deviations, offsets))
        all_sum, positive_sum, all_normal, positive_normal = sums.unflatten(2, (frequencies, channels)).sum(dim=(1, 2))
        negative_sum, negative_normal = all_sum - positive_sum, all_normal - positive_normal
        to_shift, to_scale = positive_sum + slope * negative_sum, positive_normal + slope * negative_normal
        # v = scale x^ + shift, where v < 0.
        to_slope = scale * negative_normal + shift * negative_sum
        # Through the batch's mean and variance every value has a further gradient, which is linear in x:
        # the usual -scale deviation (to_shift + x^ to_scale) / count.
        count = len(wide) * frames * frequencies
        factor = scale * deviation
        linear = -factor * deviation * to_scale / count
        constant = -factor * to_shift / count - linear * mean
        factors, linears, constants = (one.repeat(frequencies) for one in (factor, linear, constant))
        for part, out in zip(blocks, inner, strict=True):
            through_moments = torch.addcmul(constants, part, linears, out=scratch[0, : len(part)])
            torch.addcmul(through_moments, out, factors, out=out)
        to_input = to_input.unflatten(2, (ctx.frequencies, channels)).movedim(-1, 1)
        return to_input, to_scale, to_shift, to_slope, None, None, None


def _back_through_prelu(
    blocks: list[Tensor], given: list[Tensor], inner: list[Tensor], scratch: Tensor, of_columns: tuple[Tensor, ...]
) -> Tensor:
    """Write the gradients of v, and return the sums from which those of scale, shift and slope follow.

    With g the gradient of y, and g+ the same where v > 0 and 0 elsewhere, the gradient of v is g+ + slope (g - g+).

    Args:
        blocks: of the input, [R,F C] each.
        given: of g.
        inner: of the gradient of v, which is written.
        scratch: [3,R,F C], of the size of the largest block.
        of_columns: scale, shift, slope, 1 / deviation and -mean / deviation, [F C] each.

    Returns:
        Sums over each block's rows of g, g+, g x^ and g+ x^, [4,blocks,F C].
    """
    scales, shifts, slopes, deviations, offsets = of_columns
    sums = scratch.new_empty(4, len(blocks), blocks[0].shape[1])
    for part, gradient, out, *totals in zip(blocks, given, inner, *sums, strict=True):
        normal, value, passed = scratch[:, : len(part)]
        torch.addcmul(offsets, part, deviations, out=normal)
        torch.addcmul(shifts, normal, scales, out=value)
        # The backward pass of ReLU: g where the value is above 0, else 0.
        torch.ops.aten.threshold_backward.grad_input(gradient, value, 0, grad_input=passed)
        torch.lerp(passed, gradient, slopes, out=out)
        torch.sum(gradient, 0, out=totals[0])
        torch.sum(passed, 0, out=totals[1])
        torch.sum(torch.mul(gradient, normal, out=value), 0, out=totals[2])
        torch.sum(passed.mul_(normal), 0, out=totals[3])
    return sums


def _moments(blocks: list[Tensor], channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of the channels, [C] each, over all blocks [R,F C].

    Each block is centred on its own means before it is squared (Chan et al.); the variance between the blocks' means is
    added.
    """
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
    """Cut [B,N,F C] into blocks of rows [R,F C]; the first is the largest."""
    rows = max(1, BLOCK // maps.shape[2])
    return [block for one in maps for block in one.split(rows)]


def _cropped(x: Tensor, frames: int, frequencies: int) -> Tensor:
    """Return the first frames and frequencies of ``x``; without a slice in the graph where that is all of it."""
    if x.shape[2:] == (frames, frequencies):
        return x
    cropped = x[:, :, :frames, :frequencies]
    return channels_last(cropped) if takes_channels_last(cropped) else cropped
