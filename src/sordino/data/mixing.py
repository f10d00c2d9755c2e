"""Ranges and probabilities from which mixtures are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sordino.data.augmentation import Augmentation
from sordino.errors import InputError


@dataclass(frozen=True)
class Mixing:
    """Ranges and probabilities from which a mixture is drawn.

    Args:
        snr_db: lowest and highest signal-to-noise ratio in dB, uniform between; None, for pairs, keeps their own.
        level_db: lowest and highest RMS of the mixture in dBFS; None keeps the speech at its own level.
        tempo: slowest and fastest tempo of the speech, at its own pitch; None does not change it.
        babble: probability that the noise consists of 3 to 8 other talkers.
        reverb: probability that the speech is reverberated by a recorded room. The reference has the room too, unless
            ``augment.reference`` excludes it: as in the DNS Challenge, noise is removed and not reverberation.
        augment: further changes to speech, noise and mixture; None for nothing.

    Raises:
        InputError: a range is reversed or out of bounds.
    """

    snr_db: tuple[float, float] | None
    level_db: tuple[float, float] | None = None
    tempo: tuple[float, float] | None = None
    babble: float = 0.0
    reverb: float = 0.0
    augment: Augmentation | None = None

    def __post_init__(self) -> None:
        for name, pair in (("snr_db", self.snr_db), ("level_db", self.level_db), ("tempo", self.tempo)):
            if pair is not None and not _is_range(pair):
                raise InputError(name, f"{list(pair)}", "[lowest, highest]")
        if self.level_db is not None and self.level_db[1] > 0:
            raise InputError("level_db", f"{self.level_db[1]} dBFS", "at most 0, which is full scale")
        if self.tempo is not None and not (self.tempo[0] >= 0.5 and self.tempo[1] <= 2):
            raise InputError("tempo", f"{list(self.tempo)}", "factors between 0.5 and 2, such as [0.9, 1.1]")
        for name, chance in (("babble", self.babble), ("reverb", self.reverb)):
            if not 0 <= chance <= 1:
                raise InputError(name, f"{chance}", "a probability between 0 and 1")

    @property
    def remixes_pairs(self) -> bool:
        """Whether pairs, which are mixed already, are separated and mixed again."""
        return (self.snr_db, self.level_db, self.augment) != (None, None, None)

    def draw_tempo(self, rng: np.random.Generator) -> float:
        """Draw a tempo; 1, without a draw, where it is not to change."""
        return 1.0 if self.tempo is None else rng.uniform(*self.tempo)

    def draw_level(self, rng: np.random.Generator) -> float | None:
        """Draw a level in dBFS; None, without a draw, where the speech keeps its own."""
        return None if self.level_db is None else rng.uniform(*self.level_db)

    def for_validation(self) -> Mixing | None:
        """Return a copy without tempo, babble, recorded rooms and items without speech; None if nothing is left."""
        augment = None if self.augment is None else replace(self.augment, noise_only=0.0)
        mixing = Mixing(self.snr_db, self.level_db, augment=augment)
        return mixing if mixing.remixes_pairs else None


def _is_range(pair: Sequence[float]) -> bool:
    return len(pair) == 2 and pair[0] <= pair[1] and all(map(math.isfinite, pair))
