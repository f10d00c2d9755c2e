"""Features of two networks brought together: the one place where time is resampled and frequency is folded or pooled.

Teacher and student may run at different frame rates, with different channels, with a frequency axis or without one.
Every method that compares features uses these functions and says which; the student's size is the common one unless
the method's paper says otherwise. Time is resampled between features of the same samples alone, which
``sordino.distill.layers.positions`` makes of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def fold(feature: Tensor) -> Tensor:
    """Frequencies as further channels: [B,C,N,F] -> [B,C F,N]; [B,C,N] stays as it is."""
    return feature if feature.ndim == 3 else feature.transpose(2, 3).flatten(1, 2)


def resample_time(feature: Tensor, length: int) -> Tensor:
    """Bring [B,C,N] to [B,C,length]: averages where it shrinks, linear interpolation where it grows."""
    if feature.shape[-1] > length:
        return F.adaptive_avg_pool1d(feature, length)
    if feature.shape[-1] < length:
        return F.interpolate(feature, length, mode="linear", align_corners=False)
    return feature


def alike(features: Sequence[Tensor]) -> list[Tensor]:
    """All with a frequency axis, or none: where one feature has none, the frequencies of the others become channels."""
    return list(features) if all(feature.ndim == 4 for feature in features) else [fold(one) for one in features]


def planes(feature: Tensor) -> Tensor:
    """The same feature with a frequency axis, of one bin if it has none: [B,C,N] or [B,C,N,F] -> [B,C,N,F]."""
    return feature if feature.ndim == 4 else feature.unsqueeze(-1)


def energy(feature: Tensor) -> Tensor:
    """Mean over channels of the squares: [B,C,N] -> [B,N,1], [B,C,N,F] -> [B,N,F]."""
    squares = feature.square().mean(dim=1)
    return squares if squares.ndim == 3 else squares.unsqueeze(-1)


def resize(surface: Tensor, frames: int, bins: int) -> Tensor:
    """Bring maps [B,N,F] to [B,frames,bins], along either axis as ``resample_time`` does."""
    along_time = resample_time(surface.transpose(1, 2), frames)
    return resample_time(along_time.transpose(1, 2), bins)


def resize_planes(feature: Tensor, frames: int, bins: int) -> Tensor:
    """Bring [B,C,N,F] to [B,C,frames,bins], along either axis as ``resample_time`` does."""
    return resize(feature.flatten(0, 1), frames, bins).unflatten(0, feature.shape[:2])


def pooled(feature: Tensor) -> Tensor:
    """Global average over time and frequency: [B,C,N] or [B,C,N,F] -> [B,C]."""
    return feature.flatten(2).mean(dim=-1)


def channels(feature: Tensor, folded: bool = False) -> int:
    """Channels of a feature, its frequencies folded into them or not."""
    return fold(feature).shape[1] if folded else feature.shape[1]
