"""Source of a folder of clean speech and a folder of noise, mixed on the fly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sordino.data.augmentation import DEFAULT, Augmentation, augmentation
from sordino.data.base import Segments
from sordino.data.mixer import Mixer
from sordino.data.mixing import Mixing
from sordino.data.names import held_out, recording_of, speaker_of, within
from sordino.data.pairs import Split, demand_noisy, split_of, test_items
from sordino.data.recordings import Recordings, Responses, audio_below, is_synthetic
from sordino.errors import InputError
from sordino.types import Item

VALID_SPEAKERS, VALID_NOISES = 20, 10
"""One speaker in twenty and one noise recording in ten are kept for validation, by the CRC-32 of their names."""
REVERB = 0.5
"""Probability of a recorded room, where there are any."""


class Mix:
    """Clean speech and noise from two folders, mixed differently in every epoch.

    The speaker of a file is the name of its folder (for files directly in ``clean``: the part of their name before the
    first ``_``). A speaker is used for validation only if the CRC-32 of its name is 0 modulo 20, a noise recording
    (all pieces ``name_NN`` together) if that of its name is 0 modulo 10.

    Args:
        clean: folder of clean speech, one folder per speaker.
        noise: folder of noise.
        test_noisy: folder of noisy test recordings.
        test_clean: folder of their clean partners, of the same names.
        snr_db: lowest and highest signal-to-noise ratio in dB, of all noise together, rumble included.
        level_db: lowest and highest RMS of the mixtures in dBFS; none keeps the speech at its own level.
        augment: further changes to speech, noise and mixture, in validation too, see
            :class:`sordino.data.augmentation.Augmentation`; none only mixes.
        segment_s: length of a training segment in seconds.
        tempo: slowest and fastest tempo of the speech, such as [0.9, 1.1]; none does not change it.
        babble: probability that the noise consists of 3 to 8 other talkers.
        impulse_responses: folder of impulse responses of rooms; none adds no reverberation.
        reverb: with ``impulse_responses``, the probability that speech is reverberated by one of them. The reference is
            reverberated too (the network should remove noise, not reverberation) unless ``augment.reference`` differs.
        epoch_size: segments per epoch; none takes as many as cover all training speech.
        valid_items: number of validation mixtures.
        test_items: number of test mixtures, if no recorded pairs are given, from speakers and noises that are used
            neither for training nor for validation; 0 keeps none for a test.
        exclude: folders or files to leave out of clean and noise, by name or pattern, such as ``esc50-cc0``.
        sample_rate: rate of every file in Hz.
        cache: keep decoded files in memory, 115 MB per hour at 16 kHz in each process; for corpora of a few hours.
        manifest: a manifest written by ``sordino data check --fix``; clean and noise files that it does not list are
            left out.
    """

    name = "mix"
    labels = "all"

    def __init__(
        self,
        clean: str,
        noise: str,
        test_noisy: str | None = None,
        test_clean: str | None = None,
        snr_db: tuple[float, float] = (-5.0, 40.0),
        level_db: tuple[float, float] | None = (-60.0, -10.0),
        augment: Augmentation | Mapping[str, Any] | None = DEFAULT,
        segment_s: float = 4.0,
        tempo: tuple[float, float] | None = None,
        babble: float = 0.0,
        impulse_responses: str | None = None,
        reverb: float = REVERB,
        epoch_size: int | None = None,
        valid_items: int = 32,
        test_items: int = 0,
        exclude: tuple[str, ...] = (),
        sample_rate: int = 16000,
        cache: bool = True,
        manifest: str | None = None,
    ) -> None:
        demand_noisy("test", test_noisy, test_clean)
        if impulse_responses is None and reverb not in (0, REVERB):
            raise InputError("reverb", "needs recorded rooms", "impulse_responses: FOLDER", "or leave reverb out")
        self.clean, self.noise, self.test_noisy, self.test_clean = clean, noise, test_noisy, test_clean
        self.synthetic = is_synthetic(clean)
        self.impulse_responses = impulse_responses
        self.mixing = Mixing(snr_db, level_db, tempo, babble, reverb, augmentation(augment))
        self.segment_s, self.epoch_size, self.valid_items = segment_s, epoch_size, valid_items
        if test_items and test_noisy is not None:
            raise InputError("test_items", "stands beside test_noisy", "one of them", "leave one out")
        self.test_items, self.exclude, self.manifest = test_items, tuple(exclude), manifest
        self.sample_rate, self.cache = sample_rate, cache

    def train(self, seed: int) -> Segments:
        """Return training segments of ``segment_s``; see :class:`sordino.data.base.Source`."""
        return self._mixer("train").segments(seed, self.segment_s, self.epoch_size)

    def valid(self) -> Sequence[Item]:
        """Return ``valid_items`` fixed mixtures of held-out speakers and noises, even over ratios and kinds of noise.

        They are augmented as in training, but all contain speech; tempo, babble and recorded rooms are not used.
        """
        return self._mixer("valid").valid(self.valid_items)

    def test(self) -> Sequence[Item]:
        """Return the recorded pairs of ``test_noisy`` and ``test_clean``, or ``test_items`` fixed mixtures."""
        if self.test_items:
            return self._mixer("test").valid(self.test_items)
        return test_items(self.test_noisy, self.test_clean, self.sample_rate, "test_items")

    def _mixer(self, split: Split) -> Mixer:
        """Return the mixer of the files of a split; only that of training has tempo, babble and recorded rooms."""
        speech_files, noise_files = self.files
        speech, noise = _paths_in(split, speech_files), _paths_in(split, noise_files)
        training = split == "train"
        mixing, rooms = self.mixing, []
        if not training:
            mixing = self.mixing.for_validation() or self.mixing
        elif self.impulse_responses is not None:
            rooms = audio_below(self.impulse_responses)
        return Mixer(
            Recordings(speech, self.sample_rate, self.cache and training),
            [speaker_of(path, self.clean) for path in speech],
            [path.stem for path in speech],
            Recordings(noise, self.sample_rate, self.cache and training),
            [path.stem for path in noise],
            self.sample_rate,
            mixing,
            Responses(rooms, self.sample_rate) if rooms else None,
            [path.parent.name for path in noise],
        )

    @cached_property
    def files(self) -> tuple[list[tuple[Path, Split]], list[tuple[Path, Split]]]:
        """Files of speech and of noise, each with the split that it belongs to; found once."""
        apart = within((self.test_noisy, self.test_clean))
        speech = [path for path in audio_below(self.clean, self.exclude, self.manifest) if not apart(path)]
        groups = [speaker_of(path, self.clean) for path in speech]
        test = bool(self.test_items)
        if len(set(groups)) < _splits(test):  # a student for one voice or two: utterances are held out, not speakers
            groups = [path.stem for path in speech]
        noise = [path for path in audio_below(self.noise, self.exclude, self.manifest) if not apart(path)]
        recordings = [recording_of(path) for path in noise]
        return (
            _hold_out(self.clean, "utterance", speech, groups, VALID_SPEAKERS, test),
            _hold_out(self.noise, "noise recording", noise, recordings, VALID_NOISES, test),
        )


def _paths_in(split: Split, files: Sequence[tuple[Path, Split]]) -> list[Path]:
    """Return the files of a split."""
    return [path for path, owner in files if owner == split]


def _splits(test: bool) -> int:
    """Return the number of splits: training, validation, and the test if there is one."""
    return 3 if test else 2


def _hold_out(
    folder: str, what: str, paths: Sequence[Path], groups: Sequence[str], modulo: int, test: bool
) -> list[tuple[Path, Split]]:
    """Return each file with the split of its group; an InputError if there are too few groups for all splits."""
    count, least = len(set(groups)), _splits(test)
    if count < least:
        plural = "s" if count > 1 else ""
        kept = "one is kept for validation"
        if test:
            kept += " and one for the test"
        raise InputError(folder, f"holds {count} {what}{plural}", f"at least {least}, as {kept}")
    valid = held_out(groups, modulo)
    tested = held_out(groups, modulo, valid) if test else set[str]()
    return [(path, split_of(group, valid, tested)) for path, group in zip(paths, groups, strict=True)]
