"""Fixed augmentation: each item has a limited number of variants, which are repeated after that number of epochs.

A result that is computed for an item, such as a teacher's output, can be cached only if exactly the same item is used
again. With K draws, an item has K variants instead of a new one in every epoch. The order of the items still differs in
every epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

from sordino.data.base import Segments, Source
from sordino.errors import InputError
from sordino.types import Item


class FixedAugmentation:
    """A source whose training items in epoch e are those of epoch e modulo ``draws``.

    Validation and test are those of the source.

    Args:
        source: the source of the items.
        draws: number of variants of each item.

    Raises:
        InputError: ``draws`` is below 1.
    """

    def __init__(self, source: Source, draws: int) -> None:
        if draws < 1:
            raise InputError("teacher.draws", str(draws), "at least 1")
        self.source, self.draws = source, draws
        self.name, self.synthetic, self.labels = source.name, source.synthetic, source.labels
        self.sample_rate, self.segment_s = source.sample_rate, source.segment_s

    def train(self, seed: int) -> Segments:
        """Return the source's segments, repeated after ``draws`` epochs."""
        segments = self.source.train(seed)
        return Segments(len(segments), seed, segments.draw, self.draws)

    def valid(self) -> Sequence[Item]:
        """Return the source's validation items."""
        return self.source.valid()

    def test(self) -> Sequence[Item]:
        """Return the source's test items."""
        return self.source.test()
