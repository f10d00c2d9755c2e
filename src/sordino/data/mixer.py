"""Mix speech and noise on the fly: the base of the sources Mix, Dns and Synthetic.

The corpus does not determine the mixtures: utterance, position, tempo, room, noise, ratio and level are drawn from a
generator, and pure functions of ``audio`` apply them. The order of the draws is part of the results: a changed order
changes every mixture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial

import numpy as np

from sordino.audio.mix import SILENCE_DB, mix, rms_db
from sordino.audio.rooms import reverberate
from sordino.audio.tempo import stretch
from sordino.data.augmentation_apply import Degrader, MixtureParts
from sordino.data.base import LazySequence, RecordingPool, Segments, segment_samples
from sordino.data.fixed_draws import by_kind, evenly_spread, valid_generator
from sordino.data.mixing import Mixing
from sordino.errors import InputError
from sordino.types import Item

PAUSE_S = (0.1, 0.5)
"""Length of the silence between the utterances that fill a segment, in seconds."""

VALID_MAX_S = 30.0
"""Longest part of a recording that validation uses, so that an hour-long one does not exceed the memory."""

TALKERS = (3, 8)
"""Least and largest number of voices in babble."""


class Mixer:
    """Draws mixtures from recordings of speech and of noise.

    A segment longer than its utterance continues, after a pause, with other utterances of the same speaker. Padding
    would fill a third of every batch with silence if utterances are short, and teach that speech ends early.

    Args:
        speech: utterances.
        speakers: speaker of each utterance.
        speech_names: name of each utterance, for the ids of items.
        noise: noise recordings.
        noise_names: name of each noise recording.
        sample_rate: Hz.
        mixing: ranges and probabilities.
        responses: impulse responses of rooms; None without ``mixing.reverb``.
        noise_kinds: kind of each noise recording; None if unknown: then each is a kind of its own.
    """

    def __init__(
        self,
        speech: RecordingPool,
        speakers: Sequence[str],
        speech_names: Sequence[str],
        noise: RecordingPool,
        noise_names: Sequence[str],
        sample_rate: int,
        mixing: Mixing,
        responses: RecordingPool | None = None,
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
        kinds = self.noise_names if noise_kinds is None else noise_kinds
        self._kinds = by_kind(kinds, self.noise_names)

    def segments(self, seed: int, segment_s: float, epoch_size: int | None = None) -> Segments:
        """Return the training segments.

        Args:
            seed: seed of the run.
            segment_s: length in seconds.
            epoch_size: items per epoch; None takes as many as cover all speech once.
        """
        length = segment_samples(segment_s, self.sample_rate)
        if epoch_size is not None and epoch_size < 1:
            raise InputError("epoch_size", f"{epoch_size}", "at least 1, or none for as many as all speech makes")
        count = epoch_size or max(1, math.ceil(self._ends[-1] / length))
        return Segments(count, seed, partial(self._segment, length=length, count=count))

    def valid(self, count: int) -> LazySequence:
        """Return ``count`` fixed mixtures of whole utterances, evenly distributed over utterances and ratios."""
        if count < 1:
            raise InputError("valid_items", f"{count}", "at least 1")
        return LazySequence(count, partial(self._fixed, count))

    def _segment(self, rng: np.random.Generator, index: int, length: int, count: int) -> Item:
        """Draw training item ``index``; the ``count`` items of an epoch cover all speech evenly."""
        return self.draw(rng, (index + rng.random()) / count, length)

    def _fixed(self, count: int, index: int) -> Item:
        """Mix validation item ``index`` of ``count``."""
        utterance = index * len(self.speech) // count
        snr_db, rng = evenly_spread(self.snr_db, index), valid_generator(index)
        noise = None if self.mixing.augment is None else self.validation_noise(index)
        return self.whole(rng, utterance, snr_db, noise)

    def draw(self, rng: np.random.Generator, share: float, length: int) -> Item:
        """Draw a mixture of ``length`` samples; ``share`` (0 to 1) is the position in all speech where it begins."""
        position = share * self._ends[-1]
        first = min(int(np.searchsorted(self._ends, position, side="right")), len(self.speech) - 1)
        tempo = self.mixing.draw_tempo(rng)
        speech = self._talk(rng, first, math.ceil(length * tempo) + 1)
        clean = stretch(speech, tempo, self.sample_rate)[:length]
        return self._mixed(rng, first, clean, rng.uniform(*self.snr_db))

    def whole(self, rng: np.random.Generator, index: int, snr_db: float, noise_index: int | None = None) -> Item:
        """Mix the whole utterance ``index``, up to ``VALID_MAX_S``, with the noise ``noise_index`` or a drawn one."""
        clean = self.speech.read(index, 0, int(VALID_MAX_S * self.sample_rate))
        return self._mixed(rng, index, clean, snr_db, noise_index)

    def _mixed(
        self, rng: np.random.Generator, index: int, clean: np.ndarray, snr_db: float, noise_index: int | None = None
    ) -> Item:
        """Mix speech of utterance ``index`` with the noise ``noise_index``, or with a drawn one if that is None."""
        speaker, augment = self.speakers[index], self.mixing.augment
        speech, in_room = clean, False
        if self.responses is not None and rng.random() < self.mixing.reverb:
            response = self.responses.read(int(rng.integers(len(self.responses))))
            part = "wet" if augment is None else augment.reference
            speech, clean = reverberate(clean, response, part, self.sample_rate)
            in_room = True
        if self.mixing.babble and rng.random() < self.mixing.babble:
            noise, noise_name = self._babble(rng, speaker, len(clean)), "babble"
        else:
            noise, noise_name = self._noise(rng, len(clean), noise_index)
        level_db = self.mixing.draw_level(rng)
        name = self.speech_names[index]
        mixture_id = f"{name}+{noise_name}@{snr_db:.1f}dB"
        if augment is None:
            noisy, clean, _ = mix(clean, noise, snr_db, level_db)
            return Item(noisy, clean, len(noisy), mixture_id, speaker)
        degrade = Degrader(augment, self.sample_rate)
        parts = MixtureParts(speech, clean, noise)
        noisy, clean, kind = degrade(rng, parts, self._draw_noise, snr_db, level_db, in_room)
        ids = {"mixture": mixture_id, "clean": f"{name}+none", "noise": f"none+{noise_name}"}
        return Item(noisy, clean, len(noisy), ids[kind], speaker)

    def validation_noise(self, index: int) -> int:
        """Choose the noise of validation item ``index``: kinds take turns, and so do the recordings of a kind."""
        turn, kind = divmod(index, len(self._kinds))
        recordings = self._kinds[kind]
        return recordings[turn % len(recordings)]

    def _draw_noise(self, rng: np.random.Generator, length: int) -> np.ndarray:
        """Draw ``length`` samples of a noise recording."""
        return self._noise(rng, length)[0]

    def _noise(self, rng: np.random.Generator, length: int, index: int | None = None) -> tuple[np.ndarray, str]:
        """Draw ``length`` samples of the noise recording ``index``, or of a drawn one, [T]; and return its name."""
        if index is None:
            index = int(rng.integers(len(self.noise)))
        offset = int(rng.integers(self.noise.lengths[index]))
        return self.noise.loop(index, offset, length), self.noise_names[index]

    def _talk(self, rng: np.random.Generator, index: int, length: int) -> np.ndarray:
        """Draw ``length`` samples of speech of one speaker, beginning with utterance ``index``."""
        spare = int(self.speech.lengths[index]) - length
        start = int(rng.integers(spare + 1)) if spare > 0 else 0
        own = self.utterances[self.speakers[index]]
        pieces = [self.speech.read(index, start, length)]
        total = len(pieces[0])
        while total < length:
            pause = np.zeros(round(rng.uniform(*PAUSE_S) * self.sample_rate), dtype=np.float32)
            chosen = int(rng.choice(own))
            following = self.speech.read(chosen, 0, length)
            pieces += [pause, following]
            total += len(pause) + len(following)
        return np.concatenate(pieces)[:length]

    def _babble(self, rng: np.random.Generator, speaker: str, length: int) -> np.ndarray:
        """Draw ``length`` samples of other speakers talking at once, with levels that differ by up to 6 dB."""
        others = [name for name in self.utterances if name != speaker]
        count = min(int(rng.integers(TALKERS[0], TALKERS[1] + 1)), len(others))
        babble = np.zeros(length, dtype=np.float32)
        for talker in rng.choice(len(others), count, replace=False):
            utterance = int(rng.choice(self.utterances[others[talker]]))
            voice = self._talk(rng, utterance, length)
            level_db = rms_db(voice)
            if level_db > SILENCE_DB:
                gain_db = rng.uniform(-3, 3) - 25 - level_db
                babble += voice * np.float32(10 ** (gain_db / 20))
        return babble


def noise_of(item_id: str) -> str:
    """Return the name of the noise in the id of a mixture; empty for an item that is none."""
    found = re.fullmatch(r".*\+([^+]*)@-?[\d.]+dB( \(\d+\))?", item_id)
    return found[1] if found else ""
