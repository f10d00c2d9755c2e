"""Speech: what ships, in a little noise, and something like it made from nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.corpora import RATE
from sordino.assets import SPEECH
from sordino.audio import sound_files


def speechlike(seconds: float, seed: int = 0) -> np.ndarray:
    """A buzz through moving resonances, in syllables with pauses of digital silence."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    formant = 1500 + 800 * np.sin(2 * np.pi * 1.3 * time)
    buzz = sum(np.cos(k * phase) / (1 + ((k * 120 - formant) / 300) ** 2) for k in range(1, 50))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None)
    return 0.1 * syllables * (buzz + 0.05 * random.standard_normal(len(time)))


def noisy_version(clean: np.ndarray, level: float = 0.02, seed: int = 1) -> np.ndarray:
    """The same in white noise."""
    return clean + level * np.random.default_rng(seed).standard_normal(len(clean))


def speech(length: int = 3 * RATE) -> np.ndarray:
    """The recording that ships, in a little white noise: [T]."""
    clean, _ = sound_files.read(Path(str(SPEECH)), RATE)
    return clean[0, :length] + 0.01 * np.random.default_rng(0).standard_normal(length).astype(np.float32)
