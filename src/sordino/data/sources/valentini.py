"""Source of the VoiceBank-DEMAND corpus, the usual benchmark of speech enhancement.

Valentini-Botinhao, "Noisy speech database for training speech enhancement algorithms and TTS models", University of
Edinburgh, 2017 (CC BY 4.0). Folders as downloaded, but resampled: ``{clean,noisy}_trainset_28spk_wav`` (11,572
utterances), the same with ``56spk``, and ``{clean,noisy}_testset_wav`` (824, speakers p232 and p257).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sordino.data.augmentation import Augmentation, augmentation
from sordino.data.base import Segments
from sordino.data.mixing import Mixing
from sordino.data.pairs import Pair, PairSet, Split, list_pairs
from sordino.errors import InputError
from sordino.types import Item


class Valentini:
    """VoiceBank-DEMAND: segments of 4 s every second, with which MANNER and most similar networks are trained.

    Args:
        root: folder that holds the corpus' own folders.
        speakers: 28 or 56, the training set.
        valid_speakers: training speakers kept for validation; p282 and p287 (MANNER's) are in the set of 28.
        segment_s: length of a training segment in seconds; shorter utterances are zero-padded.
        stride_s: seconds from the start of one segment to the start of the next.
        tempo: slowest and fastest tempo of the speech, such as [0.9, 1.1]; none does not change it.
        snr_db: lowest and highest signal-to-noise ratio in dB; none, as published, keeps that of each pair.
        level_db: lowest and highest RMS of the mixtures in dBFS; none, as published, keeps the speech at its own level.
        augment: further changes to speech, noise and mixture, as in ``pairs``; none, as published, for nothing.
        sample_rate: rate of every file in Hz; the corpus has 48 kHz, ``sordino data prepare`` resamples it once.
        cache: keep decoded files in memory (28 speakers: 1.1 GB noisy, 1.1 GB clean).
        manifest: a manifest written by ``sordino data check --fix``; files that it does not list are left out.
    """

    name = "valentini"
    labels = "all"
    synthetic = False

    def __init__(
        self,
        root: str,
        speakers: int = 28,
        valid_speakers: tuple[str, ...] = ("p282", "p287"),
        segment_s: float = 4.0,
        stride_s: float = 1.0,
        tempo: tuple[float, float] | None = None,
        snr_db: tuple[float, float] | None = None,
        level_db: tuple[float, float] | None = None,
        augment: Augmentation | Mapping[str, Any] | None = None,
        sample_rate: int = 16000,
        cache: bool = False,
        manifest: str | None = None,
    ) -> None:
        if speakers not in (28, 56):
            raise InputError("speakers", f"{speakers}", "28 or 56, the two training sets")
        self.root, self.speakers, self.valid_speakers = Path(root), speakers, tuple(valid_speakers)
        self.test_noisy, self.test_clean = (str(self.root / f"{side}_testset_wav") for side in ("noisy", "clean"))
        self.segment_s, self.stride_s = segment_s, stride_s
        self.mixing = Mixing(snr_db, level_db, tempo, augment=augmentation(augment))
        self.sample_rate, self.cache, self.manifest = sample_rate, cache, manifest

    def train(self, seed: int) -> Segments:
        """Return training segments of ``segment_s``; see :class:`sordino.data.base.Source`.

        Raises:
            InputError: a test speaker is in the training set, a validation speaker is not, or files cannot be used.
        """
        chosen = PairSet.open(self.pairs("train"), self.sample_rate, self.cache)
        return chosen.segments(seed, self.segment_s, self.stride_s, self.mixing)

    def valid(self) -> Sequence[Item]:
        """Return whole utterances of the validation speakers; errors as in :meth:`train`."""
        return PairSet.open(self.pairs("valid"), self.sample_rate).whole(self.mixing.for_validation())

    def test(self) -> Sequence[Item]:
        """Return the 824 test utterances."""
        return PairSet.open(self.pairs("test"), self.sample_rate).whole()

    def pairs(self, split: Split) -> list[Pair]:
        """List the files of a split; errors as in :meth:`train`."""
        if split == "test":
            return self._testset()
        pairs = [pair for pair in self._trainset if (pair.speaker in self.valid_speakers) == (split == "valid")]
        if not pairs:
            found = "leave no speaker to train on" if split == "train" else "name no speaker to validate on"
            raise InputError("valid_speakers", found, "some of the training speakers")
        return pairs

    @cached_property
    def _trainset(self) -> list[Pair]:
        """All pairs of the training set, validation speakers included, after checking their speakers."""
        pairs = self._list(f"trainset_{self.speakers}spk")
        known = {pair.speaker for pair in pairs}
        absent = set(self.valid_speakers) - known
        if absent:
            found = f"{', '.join(sorted(absent))} not among the training speakers"
            raise InputError("valid_speakers", found, f"some of {', '.join(sorted(known))}")
        if Path(self.test_noisy).is_dir():
            leaking = known & {pair.speaker for pair in self._testset()}
            if leaking:
                found = f"{', '.join(sorted(leaking))} speak in the training set and in the test set"
                raise InputError(self.root, found, "a test speaker is never trained on", "move or remove the files")
        return pairs

    def _testset(self) -> list[Pair]:
        """All pairs of the test set: a manifest leaves none of them out."""
        return list_pairs(self.test_noisy, self.test_clean)

    def _list(self, part: str) -> list[Pair]:
        return list_pairs(self.root / f"noisy_{part}_wav", self.root / f"clean_{part}_wav", self.manifest)
