"""Taps of made-up features, whose frames divide the same stretch of signal evenly, however many they are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sordino.types import Tap

SPAN = 120.0
"""Samples of the signal."""


def place(feature: Tensor) -> Tap:
    """The tap of a feature [B,C,N] or [B,C,N,F] that covers all of the signal and no more."""
    stride = SPAN / feature.shape[2]
    return Tap("", "BCN" if feature.ndim == 3 else "BCNF", stride=stride, offset=stride / 2)


def places(features: Mapping[str, Tensor]) -> dict[str, Tap]:
    """The taps of such features by name."""
    return {name: place(feature) for name, feature in features.items()}


def anywhere(path: str = "", axes: str = "BCN") -> Tap:
    """A tap of which only the name and the axes matter."""
    return Tap(path, axes, stride=1, offset=0)
