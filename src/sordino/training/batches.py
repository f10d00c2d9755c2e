"""The training batches of one process: which ones, in which order, and from which step on."""

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


class Batches:
    """Loads the batches of a run, on ``device``, epoch after epoch.

    Args:
        segments: the training items, one epoch of them.
        settings: of the run.
        device: where the batches are put.

    Attributes:
        per_epoch: batches that each process takes from one epoch.

    Raises:
        InputError: an epoch has fewer segments than one batch of all processes.
    """

    def __init__(self, segments: Segments, settings: Settings, device: torch.device) -> None:
        self.segments, self.settings, self.device = segments, settings, device
        size = settings.batch_size * world_size()
        self.per_epoch = len(segments) // size
        if not self.per_epoch:
            found = f"{len(segments)} segments, fewer than one batch of {size}"
            raise InputError("data", found, hint="take more data or a smaller train.batch_size")

    def first(self, count: int) -> list[Batch]:
        """Return the first ``count`` batches of the run; every call loads them anew, in this process."""
        return list(islice(self._epoch(0, 0, workers=0), count))

    def between(self, step: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of the steps from ``step`` to before ``stop``, across epochs."""
        while step < stop:
            epoch, done = divmod(step, self.per_epoch)
            for batch in self._epoch(epoch, done, self.settings.workers):
                yield batch
                step += 1
                if step >= stop:
                    return

    def _epoch(self, epoch: int, done: int, workers: int) -> Iterator[Batch]:
        """Yield the batches of an epoch of which ``done`` have been trained on already."""
        size, seed = self.settings.batch_size, self.settings.seed
        for batch in loader(self.segments, size, seed, epoch, done, workers, rank(), world_size()):
            yield batch.to(self.device)
