"""Measure recordings in the order in which they come: in this process at first, then in a pool of processes.

The pool is spawned and never forked, because a forked copy of torch's threads can hang; it imports little more than
``sordino.metrics``. It takes a second or two to start, in which a few recordings could be done. So the first ones are
measured in the calling process, in which the model runs.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np

from sordino.audio.alignment import Alignment
from sordino.distributed import launched, usable_cores
from sordino.errors import InputError
from sordino.metrics import Align, Measurement, measure
from sordino.plugins.modules import start_worker, trusted

HERE_S = 2.0  # of measuring before a pool is worth its start, which takes about as long
_AHEAD = 4  # recordings waiting per process: enough to keep it busy, few enough to hold in memory


class Recording(NamedTuple):
    """One recording that is scored."""

    place: int
    """In the whole test set, from 0."""
    row: dict[str, Any]
    """``id``, ``speaker`` and ``seconds``; its metrics join them."""
    alignment: Alignment | None
    """None where the reference was not checked."""
    levels: list[float]
    """Of its signals, in dB; see ``sordino.evaluation.signals``."""


class Job(NamedTuple):
    """One recording on its way to the metrics: the arguments of ``sordino.metrics.measure``."""

    clean: np.ndarray | None
    estimate: np.ndarray
    sample_rate: int
    metrics: tuple[str, ...]
    align: Align


def workplaces(workers: int | None, items: int) -> tuple[int, float]:
    """Return how many processes compute the metrics, and for how many seconds this one does so before."""
    if workers is None:
        return min(_cores(), max(items, 1)), HERE_S
    if workers < 0:
        raise InputError("workers", str(workers), "0 or more")
    return workers or 1, 0.0 if workers else math.inf


def _cores() -> int:
    """Count the cores for this process: those that it may use, but no more than its share of the machine's."""
    share = (os.cpu_count() or 1) // launched().per_node
    return max(min(usable_cores(), share), 1)


def measured(
    jobs: Iterator[tuple[Recording, Job]], workers: int, here_s: float
) -> Generator[tuple[Recording, Measurement]]:
    """Measure the jobs in order, in this process until that has taken ``here_s`` seconds, and the rest in a pool.

    Yields:
        Each recording, and its measurement.
    """
    spent = 0.0
    while spent < here_s:
        if (upcoming := next(jobs, None)) is None:
            return
        recording, job = upcoming
        began = time.process_time()  # a busy machine is no reason to start more processes
        measurement = _fetched(recording, partial(measure, *job))
        spent += time.process_time() - began
        yield recording, measurement
    yield from _pooled(jobs, workers)


def _pooled(jobs: Iterator[tuple[Recording, Job]], workers: int) -> Generator[tuple[Recording, Measurement]]:
    """Measure every job in a pool of processes, in order; draws the next ones while it computes."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), start_worker, (trusted(),))
    pending: deque[tuple[Recording, Future[Measurement]]] = deque()
    try:
        for recording, job in jobs:
            pending.append((recording, pool.submit(measure, *job)))
            while pending and (len(pending) > _AHEAD * workers or pending[0][1].done()):
                first, future = pending.popleft()
                yield first, _fetched(first, future.result)
        for recording, future in pending:
            yield recording, _fetched(recording, future.result)
    except BrokenProcessPool as error:
        hint = "keep the script's own work under `if __name__ == '__main__':`, or give workers=0"
        raise InputError("workers", "a process that computes the metrics ended early", hint=hint) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _fetched(recording: Recording, result: Callable[[], Measurement]) -> Measurement:
    """Return a result; an InputError gets the name of the recording."""
    try:
        return result()
    except InputError as error:
        raise InputError(f"{recording.row['id']}: {error.where}", error.found, error.expected, error.hint) from error
