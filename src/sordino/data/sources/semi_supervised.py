"""Labelled data and noisy recordings without references, in one stream.

Clean speech is hard to come by and noise is everywhere: a teacher can teach on recordings that nobody has a clean
version of. Items of the folder come without ``clean``; what needs it passes them over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sordino.data.base import Segments, Source
from sordino.data.mixing import samples
from sordino.data.sources.pairs import PairSet, list_pairs
from sordino.errors import InputError
from sordino.types import Item


class SemiSupervised:
    """A source of labelled items, with a share of unlabelled ones among its training items.

    Validation and test are those of the labelled source.

    Args:
        labelled: the source with references.
        noisy: folder of noisy recordings.
        share: of the training items that come from the folder; an epoch grows by them.

    Raises:
        InputError: a share out of range, or no recordings.
    """

    def __init__(self, labelled: Source, noisy: str, share: float) -> None:
        if not 0 < share < 1:
            raise InputError("unlabelled.share", str(share), "between 0 and 1", "data alone has all labels")
        self.labelled, self.noisy, self.share = labelled, noisy, share
        self.labels = "none" if labelled.labels == "none" else "some"
        self.name, self.synthetic = labelled.name, labelled.synthetic
        self.sample_rate, self.segment_s = labelled.sample_rate, labelled.segment_s

    def train(self, seed: int) -> Segments:
        """The labelled items of an epoch and, behind them, the unlabelled ones; a loader shuffles."""
        labelled = self.labelled.train(seed)
        pairs = PairSet.open(list_pairs(self.noisy, None), self.sample_rate)
        length = samples("segment_s", self.segment_s, self.sample_rate)
        more = max(round(len(labelled) * self.share / (1 - self.share)), 1)
        return Segments(len(labelled) + more, seed, _Drawing(labelled, pairs, length))

    def valid(self) -> Sequence[Item]:
        """The labelled source's."""
        return self.labelled.valid()

    def test(self) -> Sequence[Item]:
        """The labelled source's."""
        return self.labelled.test()


class _Drawing:
    """The item of a training index: a labelled one as its source draws it, or a random segment of the recordings."""

    def __init__(self, labelled: Segments, pairs: PairSet, length: int) -> None:
        self.labelled, self.pairs, self.length = labelled, pairs, length
        totals = pairs.noisy.lengths.astype(np.float64)
        self.chances = totals / totals.sum()  # every second of the folder is as likely as any other

    def __call__(self, rng: np.random.Generator, index: int) -> Item:
        if index < len(self.labelled):
            return self.labelled.draw(rng, index)
        recording = int(rng.choice(len(self.chances), p=self.chances))
        start = int(rng.integers(max(int(self.pairs.noisy.lengths[recording]) - self.length, 0) + 1))
        return self.pairs.cut(recording, start, self.length)
