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

from sordino.audio.codecs import codecs_at, round_trip
from sordino.audio.filters import apply_filters
from sordino.audio.mix import SILENCE_DB, at_ratio, clip, common_gain, rms_db
from sordino.audio.rooms import reverberate
from sordino.data.augmentation import Augmentation
from sordino.data.draws import More, draw_band, draw_bursts, draw_hum, draw_room, draw_rumble, draw_shape

OTHER_DB = (-10.0, 5.0)
"""Level of a second and a third noise over what is there."""

COMPRESSION = (0.3, 0.95)
"""Compression levels of codecs: for speech at 16 kHz 186 to 21 kbit/s of Opus, 62 to 34 of Vorbis, 49 to 26 of MP3."""

_STAGES: tuple[str, ...] = (
    "kind",
    "room",
    "voice",
    "second",
    "third",
    "bursts",
    "shape",
    "rumble",
    "hum",
    "band",
    "clipping",
    "codec",
)


class Dice:
    """Decides what happens to an item: a number and a seed for each stage, all drawn at once.

    Args:
        rng: the item's generator.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.number: dict[str, float] = dict(zip(_STAGES, rng.random(len(_STAGES)), strict=True))
        self._seed: dict[str, int] = dict(zip(_STAGES, rng.integers(2**63, size=len(_STAGES)), strict=True))

    def roll(self, stage: str, chance: float) -> np.random.Generator | None:
        """Hand out the generator of a stage with the probability ``chance``; None where it does not happen."""
        return np.random.default_rng(self._seed[stage]) if self.number[stage] < chance else None


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
        dice, chances = Dice(rng), self.chances
        kind = "mixture"
        if dice.number["kind"] < chances.clean:
            kind = "clean"
        elif dice.number["kind"] < chances.clean + chances.noise_only:
            kind = "noise"
        silence = np.zeros(len(sounds.speech), dtype=np.float32)
        speech, reference = (silence, silence) if kind == "noise" else self._speech(dice, sounds, in_room)
        noise = silence if kind == "clean" else self._noise(dice, sounds.noise, more)
        speech, reference, noise = self._line(dice, Sounds(speech, reference, noise))
        if snr_db is not None:
            noise = at_ratio(speech, noise, snr_db)
        noisy = speech + noise
        gain = np.float32(common_gain(noisy, reference, level_db))
        return Degraded(self._mixture(dice, noisy * gain), reference * gain, kind)

    def _speech(self, dice: Dice, sounds: Sounds, in_room: bool) -> tuple[np.ndarray, np.ndarray]:
        """Speech as heard, and its reference: in a room, and through a microphone."""
        speech, reference = sounds.speech, sounds.reference
        if not in_room and (rng := dice.roll("room", self.chances.rooms)):
            response = draw_room(rng, self.sample_rate)
            speech, reference = reverberate(speech, response, self.chances.reference, self.sample_rate)
        if rng := dice.roll("voice", self.chances.shaping):
            sections = draw_shape(rng, self.chances.shaping_db, self.sample_rate)
            speech, reference = _coloured(sections, speech, reference)
        return speech, reference

    def _noise(self, dice: Dice, noise: np.ndarray, more: More) -> np.ndarray:
        """All that disturbs: one noise or several, short sounds over them, all shaped; rumble and hum below them."""
        chances, length = self.chances, len(noise)
        if rng := dice.roll("second", chances.noises):
            noise = _add(noise, more(rng, length), rng.uniform(*OTHER_DB))
            if rng := dice.roll("third", chances.noises):
                noise = _add(noise, more(rng, length), rng.uniform(*OTHER_DB))
        if rng := dice.roll("bursts", chances.bursts):
            noise = _add(noise, draw_bursts(rng, more, length, self.sample_rate), rng.uniform(*chances.bursts_db))
        if rng := dice.roll("shape", chances.shaping):
            (noise,) = _coloured(draw_shape(rng, chances.shaping_db, self.sample_rate), noise)
        under_db = rms_db(noise)
        if rng := dice.roll("rumble", chances.rumble):
            level_db = rng.uniform(*chances.rumble_db)
            noise = _add(noise, draw_rumble(rng, length, self.sample_rate), level_db, under_db)
        if rng := dice.roll("hum", chances.hum):
            level_db = rng.uniform(*chances.hum_db)
            noise = _add(noise, draw_hum(rng, length, self.sample_rate), level_db, under_db)
        return noise

    def _line(self, dice: Dice, sounds: Sounds) -> Sounds:
        """The band that a line or a file lets through, of all three."""
        rng = dice.roll("band", self.chances.band)
        if rng is None:
            return sounds
        sections = draw_band(rng, self.sample_rate)
        speech = apply_filters(sounds.speech, sections)
        reference = speech if sounds.reference is sounds.speech else apply_filters(sounds.reference, sections)
        return Sounds(speech, reference, apply_filters(sounds.noise, sections))

    def _mixture(self, dice: Dice, noisy: np.ndarray) -> np.ndarray:
        """What works on the mixture and spares the reference: clipping, then a codec."""
        if rng := dice.roll("clipping", self.chances.clipping):
            noisy = clip(noisy, rng.uniform(*self.chances.clipping_db))
        if rng := dice.roll("codec", self.chances.codec):
            codecs = codecs_at(self.sample_rate)
            codec, compression = codecs[int(rng.integers(len(codecs)))], rng.uniform(*COMPRESSION)
            noisy = np.clip(round_trip(noisy, codec, compression, self.sample_rate), -1, 1)
        return noisy


def _coloured(sections: np.ndarray, speech: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Filter sounds that belong together, and give all of them the gain that keeps the level of the first."""
    shaped = apply_filters(speech, sections)
    change_db = rms_db(speech) - rms_db(shaped)
    gain = np.float32(10 ** (change_db / 20) if math.isfinite(change_db) else 1.0)
    return shaped * gain, *(
        shaped * gain if other is speech else apply_filters(other, sections) * gain for other in others
    )


def _add(noise: np.ndarray, other: np.ndarray, level_db: float, under_db: float | None = None) -> np.ndarray:
    """Add another noise ``level_db`` over the first (or over the level ``under_db``); unchanged where it is silent."""
    other_db = rms_db(other)
    if other_db < SILENCE_DB:
        return noise
    under_db = max(rms_db(noise) if under_db is None else under_db, SILENCE_DB)
    return noise + other * np.float32(10 ** ((under_db + level_db - other_db) / 20))
