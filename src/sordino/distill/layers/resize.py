"""Resizing of features to a common shape: the one place where time is resampled and frequency is folded or pooled.

Teacher and student may have different frame rates, different channels, and a frequency axis or none. Every method that
compares features uses these functions and says which; the student's size is the common one unless the method's paper
says otherwise. Only features of the same samples may be resampled: ``sordino.distill.layers.positions`` crops them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def fold(feature: Tensor) -> Tensor:
    """Turn frequencies into channels: [B,C,N,F] -> [B,C F,N]; [B,C,N] stays as it is."""
    return feature if feature.ndim == 3 else feature.transpose(2, 3).flatten(1, 2)


def resample_time(feature: Tensor, length: int) -> Tensor:
    """Resample [B,C,N] to [B,C,length], by averages where it shrinks and by linear interpolation where it grows."""
    if feature.shape[-1] > length:
        return F.adaptive_avg_pool1d(feature, length)
    if feature.shape[-1] < length:
        return F.interpolate(feature, length, mode="linear", align_corners=False)
    return feature


def same_axes(features: Sequence[Tensor]) -> list[Tensor]:
    """Fold the frequencies of all features into channels, unless every feature has a frequency axis."""
    if all(feature.ndim == 4 for feature in features):
        return list(features)
    return [fold(feature) for feature in features]


def planes(feature: Tensor) -> Tensor:
    """Add a frequency axis of one bin to a feature that has none: [B,C,N] or [B,C,N,F] -> [B,C,N,F]."""
    return feature if feature.ndim == 4 else feature.unsqueeze(-1)


def energy(feature: Tensor) -> Tensor:
    """Return the mean square over channels: [B,C,N] -> [B,N,1], [B,C,N,F] -> [B,N,F]."""
    squares = feature.square().mean(dim=1)
    return squares if squares.ndim == 3 else squares.unsqueeze(-1)


def resize(surface: Tensor, frames: int, bins: int) -> Tensor:
    """Resample maps [B,N,F] to [B,frames,bins], along either axis as ``resample_time`` does."""
    along_time = resample_time(surface.transpose(1, 2), frames)
    return resample_time(along_time.transpose(1, 2), bins)


def resize_planes(feature: Tensor, frames: int, bins: int) -> Tensor:
    """Resample [B,C,N,F] to [B,C,frames,bins], along either axis as ``resample_time`` does."""
    return resize(feature.flatten(0, 1), frames, bins).unflatten(0, feature.shape[:2])


def pooled(feature: Tensor) -> Tensor:
    """Return the average over time and frequency: [B,C,N] or [B,C,N,F] -> [B,C]."""
    return feature.flatten(2).mean(dim=-1)


def channels(feature: Tensor, folded: bool = False) -> int:
    """Return the number of channels of a feature, before or after folding its frequencies into them."""
    return fold(feature).shape[1] if folded else feature.shape[1]
