"""The training batches of a run, in the order that its seed gives; each is loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch

from sordino.data.base import Segments
from sordino.data.loader import loader
from sordino.distributed import rank, world_size
from sordino.errors import InputError
from sordino.training.settings import Settings
from sordino.types import Batch

FIRST = 4
"""Batches that are loaded before the run begins: its polarity is checked on all, what else is checked on the first."""


class Batches:
    """The batches of this process; the first few may be read before the run begins with them.

    Args:
        segments: of all processes.
        settings: of the run.
        device: on which they are returned.

    Attributes:
        per_epoch: the number of them in an epoch.
        first_ids: of the items with which a run begins, once ``first`` was called; they tell other recordings apart.

    Raises:
        InputError: an epoch holds less than a batch for each process.
    """

    def __init__(self, segments: Segments, settings: Settings, device: torch.device) -> None:
        self.segments, self.settings, self.device = segments, settings, device
        whole = settings.batch_size * world_size()
        self.per_epoch = len(segments) // whole
        if not self.per_epoch:
            found = f"{len(segments)} segments, fewer than one batch of {whole}"
            raise InputError("data", found, hint="take more data or a smaller train.batch_size")
        self._first: list[Batch] = []
        self.first_ids: list[str] = []

    def first(self) -> list[Batch]:
        """Return the batches that the run begins with, up to ``FIRST``; they are kept until it does."""
        if not self._first:
            self._first = list(islice(self._loaded(0, self.per_epoch, workers=0), FIRST))
            self.first_ids = [id for batch in self._first for id in batch.ids]
        return self._first

    def between(self, step: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of the steps from ``step`` to before ``stop``, counted from 0, epoch after epoch."""
        # Those that were loaded before are let go one by one, for they may fill a GPU.
        ready, self._first = self._first[step:stop], []
        step += len(ready)
        while ready:
            yield ready.pop(0)
        if step < stop:
            yield from self._loaded(step, stop, self.settings.workers)

    def _loaded(self, step: int, stop: int, workers: int) -> Iterator[Batch]:
        """Load the batches of the steps from ``step`` to before ``stop``."""
        (epoch, done), epochs = divmod(step, self.per_epoch), -(-stop // self.per_epoch)
        size, seed = self.settings.batch_size, self.settings.seed
        batches = loader(self.segments, size, seed, epoch, done, workers, rank(), world_size(), epochs - epoch)
        for batch in islice(batches, stop - step):
            yield batch.to(self.device)
