"""Source of the shards that ``sordino data shard`` wrote, with random access to every recording.

A training run gets the same segments under the same numbers as from the files that the shards were made from. So, as
with every other source, an epoch is shuffled over the whole corpus, divided between processes and workers without
missing or repeated items, and resumed exactly.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sordino.audio.folders import demand_folder
from sordino.data.archive import SHARD_NAME, Archive, ArchivedRecordings, open_archive
from sordino.data.augmentation import Augmentation, augmentation
from sordino.data.base import Damaged, Segments
from sordino.data.mixing import Mixing
from sordino.data.pairs import Pair, PairSet, Split, demand_noisy, test_items
from sordino.data.recordings import is_synthetic
from sordino.errors import InputError
from sordino.types import Item


class Shards:
    """Tar files of recordings in WebDataset's format, which were divided into splits when they were written.

    Args:
        root: the folder that ``sordino data shard`` wrote.
        test_noisy: folder of noisy test recordings, if no shard holds any.
        test_clean: folder of their clean partners.
        segment_s: length of a training segment in seconds; shorter recordings are zero-padded.
        stride_s: seconds from the start of one segment to the start of the next.
        tempo: slowest and fastest tempo of the speech, such as [0.9, 1.1]; none does not change it.
        snr_db: lowest and highest signal-to-noise ratio in dB; none keeps that of each pair.
        level_db: lowest and highest RMS of the mixtures in dBFS; none keeps the speech at its own level.
        augment: further changes to speech, noise and mixture, as in ``pairs``; none for nothing.
        sample_rate: rate of every recording in Hz.
        damaged: ``refuse`` a missing or damaged shard with an error when it is read, or ``skip`` the whole shard with a
            warning: every shard is then read once completely before the run begins.
    """

    name = "shards"

    def __init__(
        self,
        root: str,
        test_noisy: str | None = None,
        test_clean: str | None = None,
        segment_s: float = 4.0,
        stride_s: float = 1.0,
        tempo: tuple[float, float] | None = None,
        snr_db: tuple[float, float] | None = None,
        level_db: tuple[float, float] | None = None,
        augment: Augmentation | Mapping[str, Any] | None = None,
        sample_rate: int = 16000,
        damaged: Damaged = "refuse",
    ) -> None:
        demand_noisy("test", test_noisy, test_clean)
        self.root, self.test_noisy, self.test_clean = Path(root), test_noisy, test_clean
        self.segment_s, self.stride_s = segment_s, stride_s
        self.mixing = Mixing(snr_db, level_db, tempo, augment=augmentation(augment))
        self.sample_rate, self.damaged = sample_rate, damaged
        self.synthetic = is_synthetic(root)

    @property
    def labels(self) -> str:
        """Whether the training recordings have references, as the shards' indexes show."""
        return "none" if self._train.clean is None else "all"

    def train(self, seed: int) -> Segments:
        """Return training segments of ``segment_s``; see :class:`sordino.data.base.Source`.

        Raises:
            InputError: a shard is missing, damaged or at another rate; or speech without references is to be changed.
        """
        if self._train.clean is None and (self.mixing.tempo is not None or self.mixing.remixes_pairs):
            argument = "tempo" if self.mixing.tempo else "augment"
            hint = "leave tempo, snr_db, level_db and augment out"
            raise InputError(argument, "needs clean recordings to change", hint=hint)
        return self._train.segments(seed, self.segment_s, self.stride_s, self.mixing)

    def valid(self) -> Sequence[Item]:
        """Return whole recordings of the validation split."""
        return self._open("valid").whole(self.mixing.for_validation())

    def test(self) -> Sequence[Item]:
        """Return whole test recordings."""
        if self.test_noisy is None and any(self.root.glob("test-*.tar")):
            return self._open("test").whole()
        return test_items(self.test_noisy, self.test_clean, self.sample_rate, None)

    @cached_property
    def _train(self) -> PairSet:
        return self._open("train")

    def _open(self, split: Split) -> PairSet:
        """Open the recordings of all shards of a split."""
        pairs, noisy, clean = [], [], []
        for path in self._paths(split):
            archive = self._archive(path)
            if archive is None:
                continue
            for member in archive.members:
                partner = None if member.clean is None else archive.path
                pairs.append(Pair(member.id, archive.path, partner, member.speaker))
                noisy.append((archive.path, member.noisy, member.length, member.id))
                if member.clean is not None:
                    clean.append((archive.path, member.clean, member.length, member.id))
        if not pairs:
            hint = "run `sordino data shard` again"
            raise InputError(self.root, f"holds no whole shard of the {split} set", hint=hint)
        if clean and len(clean) < len(pairs):
            raise InputError(self.root, f"holds a clean partner for {len(clean)} of {len(pairs)} recordings", "all")
        references = ArchivedRecordings(clean) if clean else None
        return PairSet(pairs, ArchivedRecordings(noisy), references, self.sample_rate)

    def _paths(self, split: Split) -> list[Path]:
        """Return the paths of all shards of a split, present or not: every name states how many there are."""
        demand_folder(self.root)
        counts = set()
        for path in self.root.iterdir():
            match = SHARD_NAME.fullmatch(path.name)
            if match and match[1] == split:
                counts.add(int(match[3]))
        if len(counts) != 1:
            found = "shards of several numberings" if counts else f"no shards of the {split} set"
            raise InputError(self.root, f"holds {found}", hint="write them with `sordino data shard` into a new folder")
        (count,) = counts
        return [self.root / f"{split}-{number:05d}-of-{count:05d}.tar" for number in range(count)]

    def _archive(self, path: Path) -> Archive | None:
        """Open the shard at ``path``; None if it is missing or damaged, and such shards are skipped."""
        try:
            archive = open_archive(path)
            if self.damaged == "skip":
                archive.read_through()
        except InputError as error:
            if self.damaged == "refuse":
                raise
            warnings.warn(f"skipped: {error}", stacklevel=2)
            return None
        if archive.sample_rate != self.sample_rate:
            raise InputError(path, f"is at {archive.sample_rate} Hz", f"{self.sample_rate} Hz")
        return archive
