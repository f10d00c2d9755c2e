"""Processes that start in a moment: copies of one that has loaded what a run needs."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
import torch

PATIENCE_S = 300
RANKS = 2


_STARTED: set[int] = set()
"""Numbers of the processes that ``copies`` has started."""


def copies() -> BaseContext:
    """The context that starts processes as copies of one, which is started here if there is none yet.

    Studies start theirs from the same one. One that a study of another test has started lacks ``helpers.warm``, and is
    replaced.
    """
    context = multiprocessing.get_context("forkserver")
    server = forkserver._forkserver  # pyright: ignore[reportAttributeAccessIssue]
    if server._forkserver_pid is not None and server._forkserver_pid not in _STARTED:
        server._stop()
    context.set_forkserver_preload(["helpers.warm"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        forkserver.ensure_running()
    _STARTED.add(server._forkserver_pid)
    return context


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def torchrun_says(rank: int, ranks: int, port: int) -> dict[str, str]:
    """What ``torchrun`` puts into the environment of a process."""
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_PORT": port}
    return {
        **{name: str(value) for name, value in variables.items()},
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "127.0.0.1",
    }


def srun_says(rank: int, ranks: int, port: int) -> dict[str, str]:
    """What ``srun`` of SLURM puts into the environment of a process, on one machine."""
    variables = {"NTASKS": ranks, "STEP_NUM_TASKS": ranks, "STEP_NUM_NODES": 1, "NNODES": 1, "NTASKS_PER_NODE": ranks}
    variables |= {"NODEID": 0, "PROCID": rank, "LOCALID": rank}
    return {**{f"SLURM_{name}": str(value) for name, value in variables.items()}, "MASTER_PORT": str(port)}


def begin(
    work: Callable[..., Any],
    *arguments: Any,
    ranks: int = RANKS,
    says: Callable[..., Mapping[str, str]] = torchrun_says,
) -> list[BaseProcess]:
    """Start ``work(rank, *arguments)`` in processes that a launcher seems to have started."""
    context, port = copies(), free_port()
    started = [
        context.Process(target=_within, args=(says(rank, ranks, port), work, rank, *arguments)) for rank in range(ranks)
    ]
    for process in started:
        process.start()
    return started


def finish(started: list[BaseProcess], code: int = 0) -> None:
    """Wait for processes, which must end with ``code``."""
    for process in started:
        process.join(PATIENCE_S)
        assert process.exitcode == code


def _within(environment: Mapping[str, str], work: Callable[..., Any], rank: int, *arguments: Any) -> None:
    torch.set_num_threads(1)
    os.environ.update(environment)
    work(rank, *arguments)
