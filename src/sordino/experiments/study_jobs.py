"""Runs of a study side by side: how many at a time, and the GPU and the threads of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from sordino.distributed import usable_cores
from sordino.experiments.study_plan import Study


def jobs_of(study: Study) -> int:
    """Return how many runs go on at a time: what the study states, or one for each GPU, or for each core of a CPU."""
    return study.jobs or len(gpus()) or usable_cores()


def threads_of(jobs: int) -> int:
    """Return the threads of each of ``jobs`` runs at a time.

    They do not depend on how many runs are left, as results would by rounding.
    """
    return max(usable_cores() // jobs, 1)


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Context manager: arithmetic on a CPU has ``count`` threads, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gpus() -> list[str]:
    """Return the GPUs that this process may use, by the names that a process of its own would know them by."""
    count = torch.cuda.device_count()
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed:
        return allowed.split(",")[:count]
    return [str(index) for index in range(count)]


def least_taken(gpus: Sequence[str], taken: Sequence[str | None]) -> str | None:
    """Return the GPU with the fewest runs, the first of several; None without any GPU."""
    return min(gpus, key=taken.count) if gpus else None
