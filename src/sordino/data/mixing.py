"""Mixtures of speech and noise made on the fly: what Mix, Dns and Synthetic have in common.

The corpus does not fix the mixtures; a generator draws utterance, place, tempo, room, noise, ratio and level, and pure
functions of ``audio`` carry them out.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sordino.audio.mix import SILENCE_DB, mix, rms_db
from sordino.audio.rooms import reverberate
from sordino.audio.tempo import stretch
from sordino.data.augmentation import Augmentation
from sordino.data.base import Lazy, Segments
from sordino.data.degrading import Degrader, Sounds
from sordino.errors import InputError
from sordino.types import Item

PAUSE_S = (0.1, 0.5)
"""Silence between the utterances that fill a segment."""

VALID_MAX_S = 30.0
"""Validation takes at most this much of a recording, so that an hour-long one stays within a model's memory."""

_VALID_SEED = 5  # any number; fixed, so that every run validates on the same mixtures

TALKERS = (3, 8)
"""How many voices make babble."""


class Pool(Protocol):
    """Recordings on disk or in memory, as :class:`sordino.data.recordings.Recordings` reads them."""

    lengths: np.ndarray

    def __len__(self) -> int: ...

    def read(self, index: int, start: int = 0, length: int | None = None) -> np.ndarray: ...

    def loop(self, index: int, offset: int, length: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Mixing:
    """What a mixture is drawn from.

    Args:
        snr_db: lowest and highest signal-to-noise ratio in dB, uniform between; None, for pairs, keeps theirs.
        level_db: lowest and highest RMS of the mixture in dBFS; None keeps the speech at its own level.
        tempo: slowest and fastest tempo of the speech, its pitch kept; None leaves it alone.
        babble: probability that the noise is made of 3 to 8 other talkers.
        reverb: probability that the speech is heard in a recorded room. The room is in the reference too, unless
            ``augment.reference`` says otherwise: the DNS Challenge takes away noise, not reverberation.
        augment: what else happens to speech, noise and mixture; None for nothing.

    Raises:
        InputError: a range that is upside down or out of bounds.
    """

    snr_db: tuple[float, float] | None
    level_db: tuple[float, float] | None = None
    tempo: tuple[float, float] | None = None
    babble: float = 0.0
    reverb: float = 0.0
    augment: Augmentation | None = None

    def __post_init__(self) -> None:
        for name, pair in (("snr_db", self.snr_db), ("level_db", self.level_db), ("tempo", self.tempo)):
            if pair is not None and not (len(pair) == 2 and pair[0] <= pair[1] and all(map(math.isfinite, pair))):
                raise InputError(name, f"{list(pair)}", "[lowest, highest]")
        if self.level_db is not None and self.level_db[1] > 0:
            raise InputError("level_db", f"{self.level_db[1]} dBFS", "at most 0, which is full scale")
        if self.tempo is not None and not (self.tempo[0] >= 0.5 and self.tempo[1] <= 2):
            raise InputError("tempo", f"{list(self.tempo)}", "factors between 0.5 and 2, such as [0.9, 1.1]")
        for name, chance in (("babble", self.babble), ("reverb", self.reverb)):
            if not 0 <= chance <= 1:
                raise InputError(name, f"{chance}", "a probability between 0 and 1")

    @property
    def anew(self) -> bool:
        """Whether pairs that are mixed already are to be mixed anew."""
        return (self.snr_db, self.level_db, self.augment) != (None, None, None)

    def for_validation(self) -> Mixing | None:
        """The same without tempo, babble, recorded rooms and items without speech; None where nothing is left to do."""
        augment = None if self.augment is None else replace(self.augment, noise_only=0.0)
        mixing = Mixing(self.snr_db, self.level_db, augment=augment)
        return mixing if mixing.anew else None


class Mixer:
    """Draws mixtures from a pool of speech and a pool of noise.

    A segment longer than its utterance goes on, after a pause, with other utterances of the same speaker: padding
    would spend a third of every batch on silence where utterances are short, and teach that speech stops early.

    Args:
        speech: utterances.
        speakers: the speaker of each.
        speech_names: the name of each, for the ids of items.
        noise: noise recordings.
        noise_names: the name of each.
        sample_rate: Hz.
        mixing: the ranges.
        responses: impulse responses of rooms; none without ``mixing.reverb``.
        noise_kinds: what kind of noise each recording is; None where that is not known, and each is one of its own.
    """

    def __init__(
        self,
        speech: Pool,
        speakers: Sequence[str],
        speech_names: Sequence[str],
        noise: Pool,
        noise_names: Sequence[str],
        sample_rate: int,
        mixing: Mixing,
        responses: Pool | None = None,
        noise_kinds: Sequence[str] | None = None,
    ) -> None:
        self.speech, self.speakers, self.speech_names = speech, list(speakers), list(speech_names)
        self.noise, self.noise_names = noise, list(noise_names)
        self.sample_rate, self.mixing, self.responses = sample_rate, mixing, responses
        self.utterances: dict[str, list[int]] = {}
        for index, speaker in enumerate(self.speakers):
            self.utterances.setdefault(speaker, []).append(index)
        if mixing.babble > 0 and len(self.utterances) <= TALKERS[0]:
            found = f"{mixing.babble}, but there are {len(self.utterances)} speakers"
            raise InputError("babble", found, f"more than {TALKERS[0]}", "set babble to 0")
        assert mixing.snr_db is not None
        self.snr_db = mixing.snr_db
        self._ends = np.cumsum(speech.lengths)
        self._kinds = _by_kind(self.noise_names if noise_kinds is None else noise_kinds, self.noise_names)

    def segments(self, seed: int, segment_s: float, epoch_size: int | None = None) -> Segments:
        """Hand out training segments.

        Args:
            seed: of the run.
            segment_s: length in seconds.
            epoch_size: items per epoch; None takes as many as it takes to hear all speech once.
        """
        length = samples("segment_s", segment_s, self.sample_rate)
        if epoch_size is not None and epoch_size < 1:
            raise InputError("epoch_size", f"{epoch_size}", "at least 1, or none for as many as all speech makes")
        count = epoch_size or max(1, math.ceil(self._ends[-1] / length))
        return Segments(count, seed, _Drawing(self, length, count))

    def valid(self, count: int) -> Lazy:
        """Hand out ``count`` fixed mixtures of whole utterances, spread evenly over utterances and ratios."""
        if count < 1:
            raise InputError("valid_items", f"{count}", "at least 1")
        return Lazy(count, _Fixed(self, count))

    def draw(self, rng: np.random.Generator, share: float, length: int) -> Item:
        """Draw one mixture of ``length`` samples whose speech starts ``share`` (0 to 1) of the way through the pool."""
        first = min(int(np.searchsorted(self._ends, share * self._ends[-1], side="right")), len(self.speech) - 1)
        tempo = 1.0 if self.mixing.tempo is None else rng.uniform(*self.mixing.tempo)
        clean = stretch(self._talk(rng, first, math.ceil(length * tempo) + 1), tempo, self.sample_rate)[:length]
        return self._mixed(rng, first, clean, rng.uniform(*self.snr_db))

    def whole(self, rng: np.random.Generator, index: int, snr_db: float, noise_index: int | None = None) -> Item:
        """Mix the utterance ``index`` as a whole, up to ``VALID_MAX_S``, with a drawn noise or one of the caller's."""
        clean = self.speech.read(index, 0, int(VALID_MAX_S * self.sample_rate))
        return self._mixed(rng, index, clean, snr_db, noise_index)

    def _mixed(
        self, rng: np.random.Generator, index: int, clean: np.ndarray, snr_db: float, noise_index: int | None = None
    ) -> Item:
        """Mix speech of utterance ``index`` with the noise ``noise_index``, or with a drawn one where that is None."""
        speaker, augment = self.speakers[index], self.mixing.augment
        speech, in_room = clean, False
        if self.responses is not None and rng.random() < self.mixing.reverb:
            response = self.responses.read(int(rng.integers(len(self.responses))))
            part = "wet" if augment is None else augment.reference
            (speech, clean), in_room = reverberate(clean, response, part, self.sample_rate), True
        if self.mixing.babble and rng.random() < self.mixing.babble:
            noise, noise_name = self._babble(rng, speaker, len(clean)), "babble"
        else:
            chosen = int(rng.integers(len(self.noise))) if noise_index is None else noise_index
            offset = int(rng.integers(self.noise.lengths[chosen]))
            noise, noise_name = self.noise.loop(chosen, offset, len(clean)), self.noise_names[chosen]
        level_db = None if self.mixing.level_db is None else rng.uniform(*self.mixing.level_db)
        name = self.speech_names[index]
        if augment is None:
            noisy, clean, _ = mix(clean, noise, snr_db, level_db)
            return Item(noisy, clean, len(noisy), f"{name}+{noise_name}@{snr_db:.1f}dB", speaker)
        degrade = Degrader(augment, self.sample_rate)
        noisy, clean, kind = degrade(rng, Sounds(speech, clean, noise), self._more_noise, snr_db, level_db, in_room)
        ids = {"mixture": f"{name}+{noise_name}@{snr_db:.1f}dB", "clean": f"{name}+none", "noise": f"none+{noise_name}"}
        return Item(noisy, clean, len(noisy), ids[kind], speaker)

    def noise_in_turn(self, turn: int) -> int:
        """Choose a noise for a validation item: kinds take turns, and so do the recordings of a kind."""
        turns, kind = divmod(turn, len(self._kinds))
        return self._kinds[kind][turns % len(self._kinds[kind])]

    def _more_noise(self, rng: np.random.Generator, length: int) -> np.ndarray:
        """A drawn part of a drawn noise, ``length`` samples of it."""
        chosen = int(rng.integers(len(self.noise)))
        return self.noise.loop(chosen, int(rng.integers(self.noise.lengths[chosen])), length)

    def _talk(self, rng: np.random.Generator, index: int, length: int) -> np.ndarray:
        """Speech of one speaker, ``length`` samples of it, beginning with utterance ``index``."""
        spare = int(self.speech.lengths[index]) - length
        pieces = [self.speech.read(index, int(rng.integers(spare + 1)) if spare > 0 else 0, length)]
        have = len(pieces[0])
        while have < length:
            pause = np.zeros(round(rng.uniform(*PAUSE_S) * self.sample_rate), dtype=np.float32)
            following = self.speech.read(int(rng.choice(self.utterances[self.speakers[index]])), 0, length)
            pieces += [pause, following]
            have += len(pause) + len(following)
        return np.concatenate(pieces)[:length]

    def _babble(self, rng: np.random.Generator, speaker: str, length: int) -> np.ndarray:
        """Other people talking at once, each within 3 dB of the rest."""
        others = [name for name in self.utterances if name != speaker]
        count = min(int(rng.integers(TALKERS[0], TALKERS[1] + 1)), len(others))
        babble = np.zeros(length, dtype=np.float32)
        for talker in rng.choice(len(others), count, replace=False):
            voice = self._talk(rng, int(rng.choice(self.utterances[others[talker]])), length)
            level_db = rms_db(voice)
            if level_db > SILENCE_DB:
                babble += voice * np.float32(10 ** ((rng.uniform(-3, 3) - 25 - level_db) / 20))
        return babble


@dataclass(frozen=True)
class _Drawing:
    """The item of a training index; together, the items of an epoch sweep evenly over all speech."""

    mixer: Mixer
    length: int
    count: int

    def __call__(self, rng: np.random.Generator, index: int) -> Item:
        return self.mixer.draw(rng, (index + rng.random()) / self.count, self.length)


@dataclass(frozen=True)
class _Fixed:
    """The item of a validation index."""

    mixer: Mixer
    count: int

    def __call__(self, index: int) -> Item:
        utterance = index * len(self.mixer.speech) // self.count
        snr_db, rng = spread(self.mixer.snr_db, index), valid_generator(index)
        noise = None if self.mixer.mixing.augment is None else self.mixer.noise_in_turn(index)
        return self.mixer.whole(rng, utterance, snr_db, noise)


def valid_generator(index: int) -> np.random.Generator:
    """The generator of a validation item, the same in every run."""
    return np.random.default_rng([_VALID_SEED, index])


def spread(bounds: tuple[float, float], index: int) -> float:
    """A value between two bounds for each index: evenly spread, and in no order that recordings could share."""
    share = index * 0.6180339887498949 % 1  # multiples of the golden ratio
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _by_kind(kinds: Sequence[str], names: Sequence[str]) -> list[list[int]]:
    """The indices of each kind, kinds and members in the order of their names' CRC-32, which leaves no alphabet."""
    members: dict[str, list[int]] = {}
    for index in sorted(range(len(names)), key=lambda index: zlib.crc32(names[index].encode())):
        members.setdefault(kinds[index], []).append(index)
    return [members[kind] for kind in sorted(members, key=lambda kind: zlib.crc32(kind.encode()))]


def samples(name: str, seconds: float, sample_rate: int) -> int:
    """Turn the argument ``name``, in seconds, into a number of samples; InputError unless it is above 0."""
    if not (math.isfinite(seconds) and round(seconds * sample_rate) > 0):
        raise InputError(name, f"{seconds} s", "a length above 0")
    return round(seconds * sample_rate)
