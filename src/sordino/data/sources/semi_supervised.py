"""Labelled data combined with noisy recordings that have no references.

Clean speech is hard to record and noisy speech is everywhere. A teacher can provide targets for recordings that have no
clean version. Items from the folder have no ``clean``; losses that need it skip them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sordino.data.base import Segments, Source, segment_samples
from sordino.data.names import within
from sordino.data.pairs import Paired, PairSet, list_pairs
from sordino.errors import InputError
from sordino.types import Item


class SemiSupervised:
    """A labelled source with additional unlabelled training items.

    Validation and test items are those of the labelled source; no unlabelled item is cut from their files.

    Args:
        labelled: the source with references.
        noisy: folder of noisy recordings; those that the labelled source keeps for validation or a test are left out.
        share: share of the training items that come from the folder; an epoch becomes longer by them.

    Raises:
        InputError: the share is out of range, or there are no recordings.
    """

    def __init__(self, labelled: Source, noisy: str, share: float) -> None:
        if not 0 < share < 1:
            raise InputError("unlabelled.share", str(share), "between 0 and 1", "data alone has all labels")
        self.labelled, self.noisy, self.share = labelled, noisy, share
        self.labels = "none" if labelled.labels == "none" else "some"
        self.name, self.synthetic = labelled.name, labelled.synthetic
        self.sample_rate, self.segment_s = labelled.sample_rate, labelled.segment_s

    def train(self, seed: int) -> Segments:
        """Return the labelled items of an epoch followed by the unlabelled ones; the loader shuffles them."""
        labelled = self.labelled.train(seed)
        apart = _kept_apart(self.labelled)
        files = [pair for pair in list_pairs(self.noisy, None) if not apart(pair.noisy)]
        if not files:
            raise InputError(self.noisy, "holds only recordings that data keeps for validation or a test", "others too")
        pairs = PairSet.open(files, self.sample_rate)
        length = segment_samples(self.segment_s, self.sample_rate)
        unlabelled = max(round(len(labelled) * self.share / (1 - self.share)), 1)
        return Segments(len(labelled) + unlabelled, seed, _Drawing(labelled, pairs, length))

    def valid(self) -> Sequence[Item]:
        """Return the labelled source's validation items."""
        return self.labelled.valid()

    def test(self) -> Sequence[Item]:
        """Return the labelled source's test items."""
        return self.labelled.test()


def _kept_apart(labelled: Source) -> Callable[[Path], bool]:
    """Return whether a file is one of those that a source keeps for validation or a test, or lies in their folders."""
    folders = [getattr(labelled, side, None) for side in ("valid_noisy", "valid_clean", "test_noisy", "test_clean")]
    in_folder, files = within(folders), set[Path]()
    if isinstance(labelled, Paired):
        held_out = labelled.pairs("valid")
        if folders[2] is None:  # the test may be on recordings of the training folder
            held_out = held_out + labelled.pairs("test")
        for pair in held_out:
            files.update(path.resolve() for path in (pair.noisy, pair.clean) if path is not None)
    return lambda path: in_folder(path) or path.resolve() in files


class _Drawing:
    """Makes the training item of an index: a labelled one of the source, or a random segment of the recordings."""

    def __init__(self, labelled: Segments, pairs: PairSet, length: int) -> None:
        self.labelled, self.pairs, self.length = labelled, pairs, length
        totals = pairs.noisy.lengths.astype(np.float64)
        self.chances = totals / totals.sum()  # by length: every second of the folder is equally likely

    def __call__(self, rng: np.random.Generator, index: int) -> Item:
        if index < len(self.labelled):
            return self.labelled.draw(rng, index)
        recording = int(rng.choice(len(self.chances), p=self.chances))
        start = int(rng.integers(max(int(self.pairs.noisy.lengths[recording]) - self.length, 0) + 1))
        return self.pairs.cut(recording, start, self.length)
