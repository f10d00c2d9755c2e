"""Source of a synthetic corpus of one or two minutes, for the demo, for tests and for first experiments.

``synthetic`` is True so that reports mark results on it as results on synthetic sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sordino.audio.mix import fit_noise
from sordino.audio.sound_files import write
from sordino.data.base import Segments
from sordino.data.mixer import Mixer
from sordino.data.mixing import Mixing
from sordino.data.recordings import SYNTHETIC_MARK
from sordino.data.voices import KINDS, Voice, make_noise, speak
from sordino.files import write_text
from sordino.types import Item

NOTE = """These sounds were synthesised by sordino. They resemble speech and noise well enough to try the software on,
and what a network scores on them says nothing about recordings.
"""
TEST_PAIRS = 12
TEST_SNR_DB = (2.5, 17.5)

_PARTS = {"train": (10, 2), "valid": (3, 2), "test": (4, 1)}
"""Part -> number of voices, and of utterances per voice; no two parts share a voice or a noise."""
_SPEECH_S = (3.2, 4.4)
_NOISE_S = 5.0


class MemoryRecordings:
    """Recordings in memory, with the methods of :class:`sordino.data.recordings.Recordings`."""

    def __init__(self, sounds: Sequence[np.ndarray]) -> None:
        self.sounds = list(sounds)
        self.lengths = np.array([len(sound) for sound in sounds], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.sounds)

    def read(self, index: int, start: int = 0, length: int | None = None) -> np.ndarray:
        return self.sounds[index][start : None if length is None else start + length]

    def loop(self, index: int, offset: int, length: int) -> np.ndarray:
        return fit_noise(self.sounds[index], length, offset)


@dataclass(frozen=True)
class _Part:
    speech: list[np.ndarray]
    speakers: list[str]
    speech_names: list[str]
    noise: list[np.ndarray]
    noise_names: list[str]


class Synthetic:
    """Synthetic speech-like sound and noises, mixed on the fly.

    Args:
        snr_db: lowest and highest signal-to-noise ratio of training and validation mixtures in dB.
        segment_s: length of a training segment in seconds.
        tempo: slowest and fastest tempo of the speech, such as [0.9, 1.1]; none does not change it.
        epoch_size: segments per epoch; none takes as many as cover all training speech.
        valid_items: number of validation mixtures.
        sample_rate: Hz.
        seed: seed of the corpus, which determines voices and noises. The seed of a run determines the mixtures only.
    """

    name = "synthetic"
    labels = "all"
    synthetic = True

    def __init__(
        self,
        snr_db: tuple[float, float] = (0.0, 15.0),
        segment_s: float = 2.0,
        tempo: tuple[float, float] | None = None,
        epoch_size: int | None = None,
        valid_items: int = 8,
        sample_rate: int = 16000,
        seed: int = 0,
    ) -> None:
        self.mixing = Mixing(snr_db, tempo=tempo)
        self.segment_s, self.epoch_size, self.valid_items = segment_s, epoch_size, valid_items
        self.sample_rate, self.seed = sample_rate, seed

    def train(self, seed: int) -> Segments:
        """Return training segments of ``segment_s``; see :class:`sordino.data.base.Source`."""
        return self._mixer("train", self.mixing).segments(seed, self.segment_s, self.epoch_size)

    def valid(self) -> Sequence[Item]:
        """Return fixed mixtures of voices and noises that are not in training."""
        return self._mixer("valid", Mixing(self.mixing.snr_db)).valid(self.valid_items)

    def test(self) -> Sequence[Item]:
        """Return twelve fixed mixtures, 2.5 to 17.5 dB, of voices and noises that are used nowhere else."""
        return self._mixer("test", Mixing(TEST_SNR_DB)).valid(TEST_PAIRS)

    def write(self, folder: str | Path) -> None:
        """Write the corpus as files: ``clean/<voice>/``, ``noise/<kind>/`` and the pairs ``test/{noisy,clean}/``.

        ``Mix(f"{folder}/clean", f"{folder}/noise", f"{folder}/test/noisy", f"{folder}/test/clean")`` reads it.
        """
        folder = Path(folder)
        write_text(folder / SYNTHETIC_MARK, NOTE)
        for part in (self._parts["train"], self._parts["valid"]):
            for sound, speaker, name in zip(part.speech, part.speakers, part.speech_names, strict=True):
                write(folder / "clean" / speaker / f"{name}.flac", sound, self.sample_rate)
            for sound, name in zip(part.noise, part.noise_names, strict=True):
                write(folder / "noise" / name.partition("-")[0] / f"{name}.flac", sound, self.sample_rate)
        for number, item in enumerate(self.test()):
            assert item.clean is not None
            name = f"{item.speaker}_{number:02d}.flac"
            write(folder / "test" / "noisy" / name, item.noisy, self.sample_rate)
            write(folder / "test" / "clean" / name, item.clean, self.sample_rate)

    def _mixer(self, part: str, mixing: Mixing) -> Mixer:
        sounds = self._parts[part]
        return Mixer(
            MemoryRecordings(sounds.speech),
            sounds.speakers,
            sounds.speech_names,
            MemoryRecordings(sounds.noise),
            sounds.noise_names,
            self.sample_rate,
            mixing,
        )

    @property
    def _parts(self) -> dict[str, _Part]:
        return _synthesise(self.seed, self.sample_rate)


@lru_cache(maxsize=2)
def _synthesise(seed: int, sample_rate: int) -> dict[str, _Part]:
    """Synthesise the whole corpus, which takes some seconds. The result is cached and must not be changed."""
    parts = {}
    for number, (name, (voices, utterances)) in enumerate(_PARTS.items()):
        rng = np.random.default_rng([seed, number])
        part = _Part([], [], [], [], [])
        for voice_number in range(voices):
            speaker, voice = f"{name}{voice_number:02d}", Voice.draw(rng)
            for utterance in range(utterances):
                part.speech.append(speak(rng, voice, rng.uniform(*_SPEECH_S), sample_rate))
                part.speakers.append(speaker)
                part.speech_names.append(f"{speaker}_{utterance}")
        for kind in KINDS:
            part.noise.append(make_noise(rng, kind, _NOISE_S, sample_rate))
            part.noise_names.append(f"{kind}-{name}")
        parts[name] = part
    return parts
