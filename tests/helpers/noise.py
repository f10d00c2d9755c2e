"""White noise and tones, the same in every run."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sordino.conformance.base import noise

__all__ = ["hiss", "noise", "precise", "tone", "white"]


def precise(*shape: int, seed: int = 0, level: float = 1.0) -> Tensor:
    """The same in double precision, for comparisons with slow versions."""
    return noise(*shape, seed=seed, level=level, dtype=torch.float64)


def white(*shape: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """White noise as an array, float32."""
    return (level * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def hiss(seconds: float, seed: int = 0, rate: int = 16000, level: float = 0.05) -> np.ndarray:
    """White noise [T] of so many seconds, float32."""
    return white(round(seconds * rate), seed=seed, level=level)


def tone(seconds: float = 1.0, rate: int = 16000, hertz: float = 440.0, level: float = 0.5) -> np.ndarray:
    """A sine [T], float32."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)
