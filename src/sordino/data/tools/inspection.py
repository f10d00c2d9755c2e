"""Inspect one sound file: decode it once and return its properties as a few numbers."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sordino.audio.alignment import loudest
from sordino.audio.mix import rms_db
from sordino.audio.sound_files import read
from sordino.errors import InputError


@dataclass(frozen=True)
class Sound:
    """Properties of a sound file."""

    error: str = ""
    """Why it cannot be read; the other properties then have no meaning."""
    sample_rate: int = 0
    length: int = 0
    """Samples."""
    level_db: float = -math.inf
    """RMS in dBFS."""
    clipped: float = 0.0
    """Share of the samples that are in flat tops."""
    loudest: int = 0
    """Where the loudest part begins, in samples; see ``sordino.audio.alignment``."""
    digest: str = ""
    """SHA-256 of the samples, the same whatever the file's format."""

    @property
    def seconds(self) -> float:
        return self.length / self.sample_rate if self.sample_rate else 0.0


def inspect(path: Path) -> Sound:
    """Read a whole file and return its properties; for a file that cannot be read, ``error`` is set."""
    try:
        channels, sample_rate = read(path)
    except InputError as error:
        return Sound(error=error.reason)
    audio = channels.mean(axis=0)
    digest = hashlib.sha256(audio.tobytes()).hexdigest()
    return Sound("", sample_rate, len(audio), rms_db(audio), clipped_share(audio), loudest(audio), digest)


def clipped_share(audio: np.ndarray) -> float:
    """Return the share of samples of float ``[T]`` in flat tops: runs of three or more at the largest or least value.

    That value need not be full scale, as the signal may have been attenuated after it was clipped. Signals that peak
    below -12 dBFS return 0: there the quantisation steps of 16 bits make flat tops of their own.
    """
    if len(audio) < 3 or np.abs(audio).max() < 0.25:
        return 0.0
    top = (audio == audio.max()) | (audio == audio.min())
    runs = top[:-2] & top[1:-1] & top[2:]  # where three in a row begin
    inside = np.zeros(len(audio), dtype=bool)
    for shift in range(3):
        inside[shift : shift + len(runs)] |= runs
    return float(inside.mean())
