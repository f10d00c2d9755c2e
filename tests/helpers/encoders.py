"""Features of the layers of two networks, and slow versions of what methods compute from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.noise import precise
from helpers.taps import anywhere, places
from sordino.distill.base import Method
from sordino.distill.layers.attention import LayerSummaries
from sordino.distill.methods import METHODS
from sordino.types import Batch, Tap, View

FAMILY = ("abc", "afd", "semckd", "alp")
NAMES = (*FAMILY, "reviewkd")
SHAPES = {
    "waveform": ([(4, 24), (6, 12)], [(5, 40), (8, 20), (10, 9)]),
    "spectrum": ([(4, 12, 10), (6, 12, 5)], [(5, 9, 16), (8, 9, 8), (10, 9, 4)]),
    "waveform of spectrum": ([(4, 24), (6, 12)], [(5, 9, 16), (8, 9, 8), (10, 9, 4)]),
    "spectrum of waveform": ([(4, 12, 10), (6, 12, 5)], [(5, 40), (8, 20), (10, 9)]),
}
"""Shapes of a student's and a teacher's encoder, layer by layer."""
every_shape = pytest.mark.parametrize("shapes", SHAPES)
every_name = pytest.mark.parametrize("name", NAMES)


def layers(shapes: Sequence[tuple[int, ...]], seed: int, items: int = 3) -> list[Tensor]:
    return [precise(items, *shape, seed=seed + i, level=0.5) for i, shape in enumerate(shapes)]


def networks(shapes: str, items: int = 3) -> tuple[list[Tensor], list[Tensor]]:
    student, teacher = SHAPES[shapes]
    return layers(student, 10, items), layers(teacher, 20, items)


def taps(depth: int) -> dict[str, Tap]:
    return {f"{side}.{layer}": anywhere() for side in ("encoder", "decoder") for layer in range(1, depth + 1)}


def views(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> tuple[View, View]:
    student_feats, teacher_feats = (
        {f"encoder.{i}": one for i, one in enumerate(side, 1)} for side in (student, teacher)
    )
    wave = student[0].new_zeros(len(student[0]), 100)
    return View(wave, student_feats), View(wave, teacher_feats)


def batch(items: int = 3) -> Batch:
    return Batch(torch.zeros(items, 100), None, torch.full((items,), 100))


def made(method: Method, student: Sequence[Tensor], teacher: Sequence[Tensor], seed: int = 0) -> Method:
    """Connected to two encoders and prepared for their features, in double precision."""
    shown = views(student, teacher)
    method.connect(*(places(view.feats) for view in shown))
    torch.manual_seed(seed)
    method.prepare(*shown)
    return method.double()


def encoder(name: str, **arguments: Any) -> Method:
    return METHODS[name](**{"side": "encoder", **arguments})


# Slow versions


def slow_axis(values: np.ndarray, length: int) -> np.ndarray:
    """Averages of [N] over ``length`` stretches, or linear interpolation to more."""
    size = len(values)
    if length <= size:
        bounds = [(i * size // length, -(-(i + 1) * size // length)) for i in range(length)]
        return np.array([values[first:last].mean() for first, last in bounds])
    places = np.clip((np.arange(length) + 0.5) * size / length - 0.5, 0, size - 1)
    return np.interp(places, np.arange(size), values)


def slow_resize(surface: np.ndarray, frames: int, bins: int) -> np.ndarray:
    """[N,F] -> [frames,bins]."""
    long = np.stack([slow_axis(column, frames) for column in surface.T], axis=1)
    return np.stack([slow_axis(row, bins) for row in long])


def slow_energy(feature: np.ndarray) -> np.ndarray:
    """[C,N] or [C,N,F] -> [N,F]."""
    total = sum(channel**2 for channel in feature) / len(feature)
    return np.asarray(total).reshape(feature.shape[1], -1)


def unit(values: np.ndarray) -> np.ndarray:
    return values.ravel() / np.sqrt(np.sum(values**2))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def value(module: nn.Module, name: str) -> np.ndarray:
    return module.state_dict()[name].numpy()


def slow_norm(rows: np.ndarray, axes: tuple[int, ...] = (0,)) -> np.ndarray:
    """Batch norm in training, with its initial weight and bias."""
    return (rows - rows.mean(axes, keepdims=True)) / np.sqrt(rows.var(axes, keepdims=True) + 1e-5)


def slow_summaries(module: LayerSummaries, features: Sequence[Tensor]) -> np.ndarray:
    """[B,L,d]."""
    maps = []
    for i, feature in enumerate(features):
        means = np.array([[channel.mean() for channel in item] for item in feature.numpy()])
        maps.append(slow_norm(means @ value(module, f"layers.{i}.0.weight").T + value(module, f"layers.{i}.0.bias")))
    return np.stack(maps, axis=1)


def slow_planes(feature: Tensor) -> np.ndarray:
    array = feature.numpy()
    return array[..., None] if array.ndim == 3 else array
