"""Labelled data combined with noisy recordings that have no references.

Clean speech is hard to record and noisy speech is everywhere. A teacher can provide targets for recordings that have no
clean version. Items from the folder have no ``clean``; losses that need it skip them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sordino.data.base import Segments, Source, count_samples
from sordino.data.pairs import PairSet, list_pairs
from sordino.errors import InputError
from sordino.types import Item


class SemiSupervised:
    """A labelled source with additional unlabelled training items.

    Validation and test items are those of the labelled source.

    Args:
        labelled: the source with references.
        noisy: folder of noisy recordings.
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
        pairs = PairSet.open(list_pairs(self.noisy, None), self.sample_rate)
        length = count_samples("segment_s", self.segment_s, self.sample_rate)
        unlabelled = max(round(len(labelled) * self.share / (1 - self.share)), 1)
        return Segments(len(labelled) + unlabelled, seed, _Drawing(labelled, pairs, length))

    def valid(self) -> Sequence[Item]:
        """Return the labelled source's validation items."""
        return self.labelled.valid()

    def test(self) -> Sequence[Item]:
        """Return the labelled source's test items."""
        return self.labelled.test()


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
