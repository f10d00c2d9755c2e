"""Cut a sequence into half-overlapping chunks, join chunks by overlap-add, and convolve within chunks.

MANNER's global and local attention read a feature in chunks with a hop of half a chunk. The sequence is cut into halves
by a reshape: chunk p is halves p and p+1 joined, and overlap-add is the sum of two shifted rows of halves. This needs
neither im2col nor index tables, and only operators that every ONNX runtime has.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def chunk(x: Tensor, size: int) -> Tensor:
    """Cut [B,C,N] into half-overlapping chunks [B,C,P,size], zero-padded by ``size`` on both sides.

    P = (N + 2 size) // (size / 2) - 1. The padding on the right is shortened by what would not fill half a chunk,
    exactly what an im2col with this kernel and stride leaves out.
    """
    batch, channels, length = x.shape
    half = size // 2
    halves = (length + 2 * size) // half
    x = F.pad(x, (size, halves * half - size - length)).reshape(batch, channels, halves, half)
    return torch.cat([x[:, :, :-1], x[:, :, 1:]], dim=-1)


def overlap_add(chunks: Tensor, length: int) -> Tensor:
    """Join chunks [B,C,P,size] to [B,C,length], the inverse of ``chunk``: the mean of the two chunks of a sample."""
    batch, channels, count, size = chunks.shape
    half = size // 2
    left, right = chunks.split(half, dim=-1)
    # Samples 0..size-1 are padding, so the sum starts at half 2; from there on every half is in two chunks.
    summed = left[:, :, 2:] + right[:, :, 1:-1]
    return 0.5 * summed.reshape(batch, channels, (count - 2) * half)[..., :length]


class ChunkConv(nn.Conv2d):
    """Depthwise convolution along the last axis of [B,C,P,size], as one matrix product for each channel.

    Row i of a channel's matrix is its kernel centred on sample i, and zero elsewhere. On a CPU the product with this
    [size,size] matrix is several times faster than the convolution that it replaces, although it multiplies more. An
    exported graph keeps the convolution: other runtimes compute it fast, and the matrices would double the file.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, (1, kernel), padding=(0, kernel // 2), groups=channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            return super().forward(input)
        size, reach = input.shape[-1], self.kernel_size[1] // 2
        # The windows of the padded kernel are the matrix's rows, from the last to the first.
        padded = F.pad(self.weight[:, 0, 0], (size - 1 - reach, size - 1 - reach))
        return input @ padded.unfold(1, size, 1).flip(1).transpose(1, 2)
