"""Inspection: what one sound file is like, decoded once and told in a few numbers."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sordino.audio.mix import rms_db
from sordino.audio.sound_files import info, read_segment
from sordino.errors import InputError


@dataclass(frozen=True)
class Sound:
    """What is left of a file once it was listened to."""

    error: str = ""
    """Why it cannot be read; the rest then means nothing."""
    sample_rate: int = 0
    length: int = 0
    level_db: float = -math.inf
    """RMS in dBFS."""
    clipped: float = 0.0
    """Share of the samples that stand in flat tops."""
    digest: str = ""
    """The same for the same samples, whatever the file's format."""

    @property
    def seconds(self) -> float:
        return self.length / self.sample_rate if self.sample_rate else 0.0


def inspect(path: Path) -> Sound:
    """Read a whole file and tell what it is like; a file that cannot be read is an answer, not an error."""
    try:
        header, audio = info(path), read_segment(path)
    except InputError as error:
        return Sound(error=str(error))
    if not len(audio):
        return Sound(error=f"{path}: holds no samples (0 frames)")
    digest = hashlib.sha256(audio.tobytes()).hexdigest()
    return Sound("", header.sample_rate, len(audio), rms_db(audio), clipped_share(audio), digest)


def clipped_share(audio: np.ndarray) -> float:
    """Share of the samples of float ``[T]`` that stand in flat tops: three or more in a row at the highest value.

    The highest value need not be full scale, as sound may have been turned down since it was clipped. Sound that
    peaks below -12 dBFS is not judged: there the steps of 16 bits make flat tops of their own.
    """
    if len(audio) < 3 or np.abs(audio).max() < 0.25:
        return 0.0
    top = (audio == audio.max()) | (audio == audio.min())
    runs = top[:-2] & top[1:-1] & top[2:]
    inside = np.zeros(len(audio), dtype=bool)
    for shift in range(3):
        inside[shift : shift + len(runs)] |= runs
    return float(inside.mean())
