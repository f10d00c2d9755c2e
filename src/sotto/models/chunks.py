"""Half-overlapping chunks of a sequence by reshape, and their overlap-add.

MANNER's global and local attention read a feature in chunks with a hop of half a chunk. Cut into halves, chunk p is
halves p and p+1 side by side, and overlap-add is the sum of two shifted rows of halves: no im2col, no index tables,
and nothing that an ONNX runtime lacks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
    """Undo ``chunk``: [B,C,P,size] -> [B,C,length], every sample the mean of the two chunks that hold it."""
    batch, channels, count, size = chunks.shape
    half = size // 2
    left, right = chunks.split(half, dim=-1)
    # Samples 0..size-1 are padding, so the sum may start at half 2, where both neighbours exist.
    summed = left[:, :, 2:] + right[:, :, 1:-1]
    return 0.5 * summed.reshape(batch, channels, (count - 2) * half)[..., :length]
