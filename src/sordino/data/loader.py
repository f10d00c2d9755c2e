"""Make batches of items with torch's loader, in an order that can be resumed exactly within an epoch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from multiprocessing.sharedctypes import RawArray
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler, get_worker_info

from sordino.data.base import Segments, epoch_order, pad
from sordino.errors import InputError
from sordino.types import Batch, Item

DYING_S = 10.0
"""Seconds to wait for the end of a worker whose files are closed: that of a killed one may follow late."""


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """The batches of one epoch as lists of ``(epoch, index)``, shuffled by (seed, epoch); a short last one is dropped.

    Args:
        length: items per epoch.
        batch_size: items per batch of one process.
        seed: seed of the run.
        epoch: counted from 0.
        start_batch: number of batches of this epoch that were done before, and are skipped.
        rank: rank of this process: it gets every ``ranks``-th batch; all processes get equally many.
        ranks: number of processes.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        epoch: int,
        start_batch: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.length, self.batch_size, self.seed, self.epoch = length, batch_size, seed, epoch
        self.start_batch, self.rank, self.ranks = start_batch, rank, ranks

    def __len__(self) -> int:
        return max(0, self.length // (self.batch_size * self.ranks) - self.start_batch)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        shuffled = epoch_order(self.length, self.seed, self.epoch)
        for batch in range(self.start_batch, self.start_batch + len(self)):
            first = (batch * self.ranks + self.rank) * self.batch_size
            yield [(self.epoch, index) for index in shuffled[first : first + self.batch_size]]


class _Epochs(Sampler[list[tuple[int, int]]]):
    """The batches of several epochs, one after the other."""

    def __init__(self, epochs: Sequence[EpochBatches]) -> None:
        self.epochs = epochs

    def __len__(self) -> int:
        return sum(map(len, self.epochs))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return chain.from_iterable(self.epochs)


def collate(items: Sequence[Item]) -> Batch:
    """Stack items into a batch, zero-padded to the longest; some or all of them may have no reference."""
    longest = max(len(item.noisy) for item in items)
    nothing = np.zeros(0, np.float32)
    references = [nothing if item.clean is None else item.clean for item in items]
    labelled = [item.clean is not None for item in items]
    clean = has_clean = None
    if any(labelled):
        clean = _stack(references, longest)
        has_clean = None if all(labelled) else torch.tensor(labelled)
    return Batch(
        noisy=_stack([item.noisy for item in items], longest),
        clean=clean,
        lengths=torch.tensor([item.length for item in items]),
        ids=tuple(item.id for item in items),
        has_clean=has_clean,
    )


def loader(
    segments: Segments,
    batch_size: int,
    seed: int,
    epoch: int,
    start_batch: int = 0,
    workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
    epochs: int = 1,
) -> Iterator[Batch]:
    """Load training batches, from batch ``start_batch`` of an epoch on.

    Args:
        segments: a source's ``train(seed)``.
        batch_size: items per batch of one process.
        seed: seed of the run; the batches are the same whatever the number of workers.
        epoch: counted from 0.
        start_batch: number of batches of this epoch that were done before.
        workers: processes that prepare batches in advance, the same ones for all epochs, with what they keep in memory;
            0 prepares them in this process.
        rank: rank of this process among ``ranks``.
        ranks: number of training processes.
        epochs: number of epochs to load.

    Yields:
        Batches.

    Raises:
        InputError: an epoch has less than one batch, or a recording cannot be used.
    """
    if len(segments) < batch_size * ranks:
        found = f"{batch_size} items for each of {ranks} process(es), but an epoch has {len(segments)} segments"
        raise InputError("batch_size", found, hint="take a smaller batch_size or more data")
    items = _ErrorsAsItems(segments, workers)
    orders = []
    for later in range(epochs):
        start = 0 if later else start_batch
        orders.append(EpochBatches(len(segments), batch_size, seed, epoch + later, start, rank, ranks))
    batches = DataLoader(
        items,  # pyright: ignore[reportArgumentType]  # no subclass of torch's Dataset
        batch_sampler=_Epochs(orders),
        collate_fn=_collate_or_error,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        # The loader draws a seed for its workers; from torch's global generator that would change the run's numbers.
        generator=torch.Generator(),
    )
    try:
        for batch in _started(batches):
            if isinstance(batch, InputError):
                raise batch
            yield batch
    except (RuntimeError, OSError, EOFError) as error:  # the loader's, or that of a batch that the dead worker held
        dead = items.dead()
        if not dead:
            raise
        hint = "look whether memory is short, or take fewer train.workers; then go on with --resume"
        raise InputError(f"data worker {dead}", "was killed or crashed", hint=hint) from error


def _started(batches: DataLoader) -> Iterator[Any]:
    """Start the loader's workers; that one has died is raised where its batch is awaited, and nowhere else.

    Torch would raise it from a signal handler, at any moment of a step or while a state is written.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return iter(batches)
    before = signal.getsignal(signal.SIGCHLD)
    try:
        return iter(batches)
    finally:
        signal.signal(signal.SIGCHLD, before)


class _ErrorsAsItems:
    """Segments that return an InputError instead of raising it.

    An error raised in a worker process would be turned by torch into another error, with a traceback as its message.

    Args:
        segments: the items.
        workers: processes that read them; each notes which item it is at, so that it is known if the process dies.
    """

    def __init__(self, segments: Segments, workers: int) -> None:
        self.segments = segments
        self._notes = RawArray("q", 3 * workers)  # for each worker: process, epoch, index

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, key: tuple[int, int]) -> Item | InputError:
        worker = get_worker_info()
        if worker is not None:
            self._notes[3 * worker.id : 3 * worker.id + 3] = [os.getpid(), *key]
        try:
            return self.segments[key]
        except InputError as error:
            return error

    def dead(self) -> str:
        """Describe the first worker that has ended, and the last item that it began; empty if none has."""
        children = {child.pid: child for child in multiprocessing.active_children()}
        for worker in range(len(self._notes) // 3):
            process, epoch, index = self._notes[3 * worker : 3 * worker + 3]
            if not process:
                continue  # no item was given to this worker yet
            child = children.get(process)
            if child is not None:
                child.join(DYING_S)
            if child is None or not child.is_alive():
                return f"{worker} (process {process}), at item {index} of epoch {epoch}"
        return ""


def _collate_or_error(items: Sequence[Item | InputError]) -> Batch | InputError:
    """Return a batch of the items, or the first error among them."""
    whole = []
    for item in items:
        if isinstance(item, InputError):
            return item
        whole.append(item)
    return collate(whole)


def _stack(waves: Sequence[np.ndarray], length: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([pad(wave, length) for wave in waves]))
