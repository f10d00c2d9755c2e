"""Frames of a stream that overlap by a half or by three quarters, and the sum that gives the stream back.

A window is a whole number k of hops, so frame n is hops n to n + k - 1 side by side: slices and sums of whole hops, no
index tables, and nothing that an ONNX runtime lacks.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cut(past: Tensor, block: Tensor, hop: int) -> tuple[Tensor, Tensor]:
    """Cut a block into frames.

    Args:
        past: [B,(k-1) hop], the samples before the block; k - 1 is at least 1.
        block: [B,n hop].
        hop: samples from frame to frame.

    Returns:
        The frames [B,n,k hop], and the last (k-1) hop samples, which are the ``past`` of the next block.
    """
    more = past.shape[-1] // hop
    hops = torch.cat([past, block], dim=-1).unflatten(-1, (-1, hop))
    frames = torch.cat([hops[:, first : (first - more) or None] for first in range(more + 1)], dim=-1)
    return frames, _joined([hops[:, index] for index in range(-more, 0)])


def overlap_add(past: Tensor, frames: Tensor, hop: int) -> tuple[Tensor, Tensor]:
    """Add frames where they overlap; a hop is complete when the last frame that holds it is known.

    Args:
        past: [B,(k-1) hop], what the frames before add to the next k - 1 hops.
        frames: [B,n,k hop].
        hop: samples from frame to frame.

    Returns:
        The block [B,n hop], which begins with the first hop of the first frame, and the ``past`` of the next block.
    """
    *parts, total = frames.split(hop, dim=-1)
    begun = past.split(hop, dim=-1) if len(parts) > 1 else [past]
    kept = []
    for part, before in zip(reversed(parts), reversed(begun), strict=True):
        kept.append(total[:, -1])
        total = part + torch.cat([before.unsqueeze(1), total[:, :-1]], dim=1)
    return total.flatten(1), _joined(kept[::-1])


def _joined(hops: list[Tensor]) -> Tensor:
    return hops[0] if len(hops) == 1 else torch.cat(hops, dim=-1)
