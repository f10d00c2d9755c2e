"""Draw and apply the augmentation of an item, in the order in which it would happen to a recording.

The order: the talker's room and voice, the noises, the low frequencies that a microphone adds, the band of the line,
the ratio and the level, and then what affects the whole mixture, clipping and codecs. Each stage has its own generator,
seeded by the item's, so that switching off one stage leaves all others unchanged.
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
from sordino.data.augmentation_draws import (
    DrawNoise,
    draw_band,
    draw_bursts,
    draw_hum,
    draw_room,
    draw_rumble,
    draw_shape,
)

OTHER_DB = (-10.0, 5.0)
"""Level of a second and a third noise relative to those before, in dB."""

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


class StageDraws:
    """Decides which stages are applied to an item: a number and a seed for each stage, all drawn at once.

    Args:
        rng: the item's generator.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.number: dict[str, float] = dict(zip(_STAGES, rng.random(len(_STAGES)), strict=True))
        self._seed: dict[str, int] = dict(zip(_STAGES, rng.integers(2**63, size=len(_STAGES)), strict=True))

    def generator(self, stage: str, probability: float) -> np.random.Generator | None:
        """Return the generator of a stage with the given probability; None if the stage is not applied."""
        return np.random.default_rng(self._seed[stage]) if self.number[stage] < probability else None


class MixtureParts(NamedTuple):
    """Components of a mixture, float32 ``[T]`` each."""

    speech: np.ndarray
    """Speech as contained in the mixture."""
    reference: np.ndarray
    """Speech that the network should return."""
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
    """Applies an :class:`Augmentation` to items.

    Args:
        chances: probabilities and ranges.
        sample_rate: Hz.
    """

    chances: Augmentation
    sample_rate: int

    def __call__(
        self,
        rng: np.random.Generator,
        sounds: MixtureParts,
        draw_noise: DrawNoise,
        snr_db: float | None,
        level_db: float | None,
        in_room: bool = False,
    ) -> Degraded:
        """Degrade speech and noise, and mix them.

        Args:
            rng: generator of the item; the draws of ``StageDraws`` are taken from it.
            sounds: speech, reference and noise of one length, at any level.
            draw_noise: draws another noise.
            snr_db: ratio of the speech in the mixture to all noise together; None keeps the noise's level.
            level_db: RMS of the mixture in dBFS; None keeps the speech's level.
            in_room: whether the speech is already reverberated.
        """
        stages, chances = StageDraws(rng), self.chances
        kind = "mixture"
        if stages.number["kind"] < chances.clean:
            kind = "clean"
        elif stages.number["kind"] < chances.clean + chances.noise_only:
            kind = "noise"
        speech = reference = noise = np.zeros(len(sounds.speech), dtype=np.float32)
        if kind != "noise":
            speech, reference = self._change_speech(stages, sounds, in_room)
        if kind != "clean":
            noise = self._change_noise(stages, sounds.noise, draw_noise)
        speech, reference, noise = self._limit_band(stages, MixtureParts(speech, reference, noise))
        if snr_db is not None:
            noise = at_ratio(speech, noise, snr_db)
        noisy = speech + noise
        gain = np.float32(common_gain(noisy, reference, level_db))
        return Degraded(self._change_mixture(stages, noisy * gain), reference * gain, kind)

    def _change_speech(self, stages: StageDraws, sounds: MixtureParts, in_room: bool) -> tuple[np.ndarray, np.ndarray]:
        """Reverberate and shape speech and reference, [T] each."""
        speech, reference = sounds.speech, sounds.reference
        if not in_room and (rng := stages.generator("room", self.chances.rooms)):
            response = draw_room(rng, self.sample_rate)
            speech, reference = reverberate(speech, response, self.chances.reference, self.sample_rate)
        if rng := stages.generator("voice", self.chances.shaping):
            sections = draw_shape(rng, self.chances.shaping_db, self.sample_rate)
            shaped, gain = _shape(sections, speech)
            # The reference gets the gain of the speech, of which it is a part.
            reference = shaped if reference is speech else apply_filters(reference, sections) * gain
            speech = shaped
        return speech, reference

    def _change_noise(self, stages: StageDraws, noise: np.ndarray, draw_noise: DrawNoise) -> np.ndarray:
        """Add further noises and short sounds, shape the sum, then add rumble and hum, which no microphone shapes."""
        chances, length = self.chances, len(noise)
        if rng := stages.generator("second", chances.noises):
            noise = _add(noise, draw_noise(rng, length), rng.uniform(*OTHER_DB))
            if rng := stages.generator("third", chances.noises):
                noise = _add(noise, draw_noise(rng, length), rng.uniform(*OTHER_DB))
        if rng := stages.generator("bursts", chances.bursts):
            noise = _add(noise, draw_bursts(rng, draw_noise, length, self.sample_rate), rng.uniform(*chances.bursts_db))
        if rng := stages.generator("shape", chances.shaping):
            noise, _ = _shape(draw_shape(rng, chances.shaping_db, self.sample_rate), noise)
        # Rumble and hum are both relative to the noise without them.
        base_db = rms_db(noise)
        if rng := stages.generator("rumble", chances.rumble):
            level_db = rng.uniform(*chances.rumble_db)
            rumble = draw_rumble(rng, length, self.sample_rate, chances.rumble_hz)
            noise = _add(noise, rumble, level_db, base_db)
        if rng := stages.generator("hum", chances.hum):
            level_db = rng.uniform(*chances.hum_db)
            noise = _add(noise, draw_hum(rng, length, self.sample_rate), level_db, base_db)
        return noise

    def _limit_band(self, stages: StageDraws, sounds: MixtureParts) -> MixtureParts:
        """Limit speech, reference and noise to the band that a line or a file transmits."""
        rng = stages.generator("band", self.chances.band)
        if rng is None:
            return sounds
        sections = draw_band(rng, self.sample_rate)
        speech = apply_filters(sounds.speech, sections)
        reference = speech if sounds.reference is sounds.speech else apply_filters(sounds.reference, sections)
        return MixtureParts(speech, reference, apply_filters(sounds.noise, sections))

    def _change_mixture(self, stages: StageDraws, noisy: np.ndarray) -> np.ndarray:
        """Clip and encode the mixture [T]; the reference does not change."""
        if rng := stages.generator("clipping", self.chances.clipping):
            noisy = clip(noisy, rng.uniform(*self.chances.clipping_db))
        if rng := stages.generator("codec", self.chances.codec):
            codecs = codecs_at(self.sample_rate)
            codec, compression = codecs[int(rng.integers(len(codecs)))], rng.uniform(*COMPRESSION)
            noisy = np.clip(round_trip(noisy, codec, compression, self.sample_rate), -1, 1)
        return noisy


def _shape(sections: np.ndarray, audio: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """Filter ``audio`` [T] and restore its level; returns the result and the gain that restored it."""
    shaped = apply_filters(audio, sections)
    change_db = rms_db(audio) - rms_db(shaped)
    gain = np.float32(10 ** (change_db / 20) if math.isfinite(change_db) else 1.0)
    return shaped * gain, gain


def _add(noise: np.ndarray, other: np.ndarray, level_db: float, base_db: float | None = None) -> np.ndarray:
    """Add another noise, ``level_db`` above the first or above ``base_db`` (dBFS); a silent one is left out."""
    other_db = rms_db(other)
    if other_db < SILENCE_DB:
        return noise
    base_db = max(rms_db(noise) if base_db is None else base_db, SILENCE_DB)
    return noise + other * np.float32(10 ** ((base_db + level_db - other_db) / 20))
