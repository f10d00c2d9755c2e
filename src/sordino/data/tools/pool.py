"""Parallel: one piece of work done on many jobs, in processes of its own, the answers as they come."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from sordino.distributed import init_worker
from sordino.errors import InputError

Job = TypeVar("Job")
Answer = TypeVar("Answer")

_AHEAD = 4  # jobs in hand per process: enough to keep it busy, few enough for Ctrl-C to end it at once

_work: Callable[[Any], Any]  # of this worker process


def each(work: Callable[[Job], Answer], jobs: Sequence[Job], workers: int | None = None) -> Iterator[Answer]:
    """Do ``work`` on every job and yield the answers in the order in which they are ready.

    Args:
        work: sent to each process once; a function of a module, or an object that can be pickled.
        jobs: what it is called with, one after the other.
        workers: processes; None takes one per core, 1 works in this process. A script that uses more than 1 keeps its
            own work under ``if __name__ == "__main__":``.

    Raises:
        InputError: raised by ``work``, or a process was killed.
    """
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    if workers <= 1:
        yield from map(work, jobs)
        return
    # Spawned, not forked: the caller may have torch's threads running.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (work,))
    left = iter(jobs)
    try:
        running: set[Future[Answer]] = {pool.submit(_do, job) for job in islice(left, _AHEAD * workers)}
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
            running |= {pool.submit(_do, job) for job in islice(left, len(finished))}
    except BrokenProcessPool as error:
        do = "run it again, with fewer workers if memory is short"
        raise InputError("workers", "one of the processes ended early", hint=do) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    init_worker()


def _do(job: Any) -> Any:
    return _work(job)
