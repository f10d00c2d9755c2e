"""Mixtures of the synthetic corpus, and what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.corpora import RATE
from sordino.data import sources
from sordino.types import Item


def mix(corpus: Path, **arguments: object) -> sources.Mix:
    defaults = {"segment_s": 1.0, "epoch_size": 200}
    return sources.Mix(f"{corpus}/clean", f"{corpus}/noise", **(defaults | arguments))  # pyright: ignore[reportArgumentType]


def parts(item: Item) -> tuple[np.ndarray, np.ndarray]:
    """Speech and noise of an item."""
    assert item.clean is not None
    return item.clean, item.noisy - item.clean


def share_below(audio: np.ndarray, hz: float = 120) -> float:
    """The share of the energy of [T] that lies below a frequency."""
    energy = np.square(np.abs(np.fft.rfft(audio * np.hanning(len(audio)))))
    return float(energy[np.fft.rfftfreq(len(audio), 1 / RATE) < hz].sum() / energy.sum())
