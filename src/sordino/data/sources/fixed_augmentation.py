"""Data whose augmentation comes back: after some epochs the same draws of every item return.

What is worked out for an item, such as a teacher's answer, can be kept only if the very same item is seen again. With K
draws, an item has K variants instead of one for every epoch. The order of the items stays new in each epoch.
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
        source: whose items.
        draws: variants of each item.

    Raises:
        InputError: fewer than one.
    """

    def __init__(self, source: Source, draws: int) -> None:
        if draws < 1:
            raise InputError("teacher.draws", str(draws), "at least 1")
        self.source, self.draws = source, draws
        self.name, self.synthetic, self.labels = source.name, source.synthetic, source.labels
        self.sample_rate, self.segment_s = source.sample_rate, source.segment_s

    def train(self, seed: int) -> Segments:
        """The source's segments, which repeat."""
        once = self.source.train(seed)
        return Segments(len(once), seed, once.draw, self.draws)

    def valid(self) -> Sequence[Item]:
        """The source's."""
        return self.source.valid()

    def test(self) -> Sequence[Item]:
        """The source's."""
        return self.source.test()
