"""Degrading: draws what happens to an item and does it, in the order in which it happens to a recording.

The talker's room and voice, the noises around, the low frequencies that a microphone adds, the line's band, the ratio
and the level, and then what works on the mixture: clipping and codecs. Each has a generator of its own, seeded from the
item's, so that an item without one of them is the same item in everything else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sotto.audio.codecs import codecs_at, round_trip
from sotto.audio.filters import colour
from sotto.audio.mix import SILENCE_DB, at_ratio, clip, common_gain, rms_db
from sotto.audio.rooms import reverberate
from sotto.data.augmentation import Augmentation
from sotto.data.draws import More, draw_band, draw_bursts, draw_hum, draw_room, draw_rumble, draw_shape

_STAGES = ("kind", "room", "speech", "noise", "noises", "bursts", "rumble", "hum", "band", "clipping", "codec")


class Sounds(NamedTuple):
    """What a mixture is made of, float32 ``[T]`` each."""

    speech: np.ndarray
    """As it is heard in the mixture."""
    reference: np.ndarray
    """As the network is to give it back."""
    noise: np.ndarray


class Degraded(NamedTuple):
    """A finished mixture."""

    noisy: np.ndarray
    """float32 ``[T]``."""
    clean: np.ndarray
    """float32 ``[T]``, the reference; zeros where there is no speech."""
    kind: str
    """``mixture``, ``clean`` (no noise) or ``noise`` (no speech)."""


@dataclass(frozen=True)
class Degrader:
    """Degrades items as an :class:`Augmentation` says.

    Args:
        chances: what happens how often.
        sample_rate: Hz.
    """

    chances: Augmentation
    sample_rate: int

    def __call__(
        self,
        rng: np.random.Generator,
        sounds: Sounds,
        more: More,
        snr_db: float | None,
        level_db: float | None,
        in_room: bool = False,
    ) -> Degraded:
        """Degrade speech and noise, and mix them.

        Args:
            rng: the item's; one draw is taken from it.
            sounds: speech, reference and noise of one length, at any level.
            more: draws another noise.
            snr_db: ratio of speech, as heard, to all noise together; None leaves the noise at its level.
            level_db: RMS of the mixture in dBFS; None leaves the speech at its level.
            in_room: whether the speech is in a room already.
        """
        seeds = rng.integers(2**63, size=len(_STAGES))
        draw = {stage: np.random.default_rng(seed) for stage, seed in zip(_STAGES, seeds, strict=True)}
        kind, chosen = "mixture", draw["kind"].random()
        if chosen < self.chances.clean:
            kind = "clean"
            speech, reference = self._speech(draw, sounds, in_room)
            noise = np.zeros_like(speech)
        elif chosen < self.chances.clean + self.chances.noise_only:
            kind = "noise"
            noise = self._noise(draw, sounds.noise, more)
            speech = reference = np.zeros_like(noise)
        else:
            speech, reference = self._speech(draw, sounds, in_room)
            noise = self._noise(draw, sounds.noise, more)
        speech, reference, noise = self._line(draw["band"], Sounds(speech, reference, noise))
        if snr_db is not None:
            noise = at_ratio(speech, noise, snr_db)
        noisy = speech + noise
        gain = np.float32(common_gain(noisy, reference, level_db))
        return Degraded(self._mixture(draw, noisy * gain), reference * gain, kind)

    def _speech(
        self, draw: dict[str, np.random.Generator], sounds: Sounds, in_room: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Speech as heard, and its reference: in a room, and through a microphone."""
        speech, reference = sounds.speech, sounds.reference
        if not in_room and draw["room"].random() < self.chances.rooms:
            response = draw_room(draw["room"], self.sample_rate)
            speech, reference = reverberate(speech, response, self.chances.reference, self.sample_rate)
        if draw["speech"].random() < self.chances.shaping:
            sections = draw_shape(draw["speech"], self.chances.shaping_db, self.sample_rate)
            speech, reference = _coloured(sections, speech, reference)
        return speech, reference

    def _noise(self, draw: dict[str, np.random.Generator], noise: np.ndarray, more: More) -> np.ndarray:
        """All that disturbs: one noise or several, short sounds over them, all shaped; rumble and hum below them."""
        chances, length = self.chances, len(noise)
        for _ in range(2):
            if draw["noises"].random() >= chances.noises:
                break
            noise = _add(noise, more(draw["noises"], length), draw["noises"].uniform(-10, 5))
        if draw["bursts"].random() < chances.bursts:
            bursts = draw_bursts(draw["bursts"], more, length, self.sample_rate)
            noise = _add(noise, bursts, draw["bursts"].uniform(*chances.bursts_db))
        if draw["noise"].random() < chances.shaping:
            (noise,) = _coloured(draw_shape(draw["noise"], chances.shaping_db, self.sample_rate), noise)
        low = noise
        if draw["rumble"].random() < chances.rumble:
            level_db = draw["rumble"].uniform(*chances.rumble_db)
            low = _add(low, draw_rumble(draw["rumble"], length, self.sample_rate), level_db, rms_db(noise))
        if draw["hum"].random() < chances.hum:
            level_db = draw["hum"].uniform(*chances.hum_db)
            low = _add(low, draw_hum(draw["hum"], length, self.sample_rate), level_db, rms_db(noise))
        return low

    def _line(self, rng: np.random.Generator, sounds: Sounds) -> Sounds:
        """The band that a line or a file lets through, of all three."""
        if rng.random() >= self.chances.band:
            return sounds
        sections = draw_band(rng, self.sample_rate)
        speech = colour(sounds.speech, sections)
        reference = speech if sounds.reference is sounds.speech else colour(sounds.reference, sections)
        return Sounds(speech, reference, colour(sounds.noise, sections))

    def _mixture(self, draw: dict[str, np.random.Generator], noisy: np.ndarray) -> np.ndarray:
        """What works on the mixture and spares the reference: clipping, then a codec."""
        if draw["clipping"].random() < self.chances.clipping:
            noisy = clip(noisy, draw["clipping"].uniform(*self.chances.clipping_db))
        rng = draw["codec"]
        if rng.random() < self.chances.codec:
            codecs = codecs_at(self.sample_rate)
            codec, squeeze = codecs[int(rng.integers(len(codecs)))], rng.uniform(0.3, 0.95)
            noisy = np.clip(round_trip(noisy, codec, squeeze, self.sample_rate), -1, 1)
        return noisy


def _coloured(sections: np.ndarray, speech: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Filter sounds that belong together, and give all of them the gain that keeps the level of the first."""
    shaped = colour(speech, sections)
    change_db = rms_db(speech) - rms_db(shaped)
    gain = np.float32(10 ** (change_db / 20) if math.isfinite(change_db) else 1.0)
    return shaped * gain, *(shaped * gain if other is speech else colour(other, sections) * gain for other in others)


def _add(noise: np.ndarray, other: np.ndarray, level_db: float, under_db: float | None = None) -> np.ndarray:
    """Add another noise ``level_db`` over the first (or over the level ``under_db``); unchanged where it is silent."""
    other_db = rms_db(other)
    if other_db < SILENCE_DB:
        return noise
    under_db = max(rms_db(noise) if under_db is None else under_db, SILENCE_DB)
    return noise + other * np.float32(10 ** ((under_db + level_db - other_db) / 20))
