"""Run the jobs of a tool in worker processes, and the count of what came of them."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from sordino.distributed import init_worker, usable_cores
from sordino.errors import InputError
from sordino.plugins.modules import Trusted, restore, trusted

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass
class Written:
    """Result of a tool: numbers of files, mixtures or shards that it wrote, found present, or could not make."""

    written: int = 0
    present: int = 0
    """Written by an earlier run."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of what needs a recording that cannot be read."""


_AHEAD = 4  # jobs submitted per process: enough to keep it busy, few enough for Ctrl-C to end it at once

_work: Callable[[Any], Any]  # in a worker process: the function that it runs


def run_jobs(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None = None) -> Iterator[Result]:
    """Call ``work`` with every job and yield the results in the order in which they are ready.

    Args:
        work: sent to each process once; a function of a module, or an object that can be pickled.
        jobs: arguments of the calls.
        workers: processes; None takes one per core, 1 works in this process. A script that uses more than 1 must keep
            its own code under ``if __name__ == "__main__":``.

    Raises:
        InputError: raised by ``work``, or because a process was killed.
    """
    if workers is not None and workers < 1:
        raise InputError("workers", str(workers), "1 or more")
    workers = min(workers or usable_cores(), len(jobs))
    if workers <= 1:
        yield from map(work, jobs)
        return
    # Spawned, not forked: threads of torch may be running in this process, and would not exist in a fork.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker, (trusted(), pickle.dumps(work))
    )
    waiting = iter(jobs)
    try:
        running: set[Future[Result]] = {pool.submit(_run_job, job) for job in islice(waiting, _AHEAD * workers)}
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
            # As many new jobs as were finished, instead of all at once: see _AHEAD.
            running |= {pool.submit(_run_job, job) for job in islice(waiting, len(finished))}
    except BrokenProcessPool as error:
        hint = "run it again, with fewer workers if memory is short"
        raise InputError("workers", "one of the processes ended early", hint=hint) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(state: Trusted, work: bytes) -> None:
    global _work
    restore(state, imports=True)
    _work = pickle.loads(work)
    init_worker()


def _run_job(job: Any) -> Any:
    return _work(job)
