"""The processes of one run: how many a launcher started, what they exchange, and the workers that each of them starts.

``torchrun``, or ``srun`` of SLURM, starts the same command once for every device and says so in its environment. The
processes form a group when training or an evaluation begins (``join``, or the Fabric of a trainer). Until then, and in
a command that was started once, the group is this process alone: its rank is 0, and ``broadcast`` and ``all_gather``
just call the function that they are given.

Nothing here imports torch before a group is formed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from sordino.errors import InputError

T = TypeVar("T")

TERMINATED = 128 + signal.SIGTERM
"""The code with which a terminated process ends, as shells have it."""


class Launch(NamedTuple):
    """The number of machines that a launcher uses, and of processes on each of them."""

    per_node: int = 1
    nodes: int = 1

    @property
    def processes(self) -> int:
        """The number of processes on all machines."""
        return self.per_node * self.nodes


def launched() -> Launch:
    """Read from the environment what ``torchrun`` or ``srun`` started; a single process where neither was used.

    Raises:
        InputError: SLURM put different numbers of processes on its machines.
    """
    variables = os.environ
    if "TORCHELASTIC_RUN_ID" in variables:
        per_node = int(variables["LOCAL_WORLD_SIZE"])
        return Launch(per_node, int(variables["WORLD_SIZE"]) // per_node)
    # The variables of a step, which srun alone sets: those of the job are there for the batch script as well.
    tasks = int(variables.get("SLURM_STEP_NUM_TASKS", 1))
    nodes = int(variables.get("SLURM_STEP_NUM_NODES", 1))
    if tasks % nodes:
        raise InputError("srun", f"{tasks} tasks on {nodes} nodes", "as many on each", "give --ntasks-per-node")
    return Launch(tasks // nodes, nodes)


def join() -> None:
    """Form a group with the other processes of the launcher, to exchange data in main memory."""
    launch = launched()
    if launch.processes > 1 and _group() is None:
        from lightning_fabric import Fabric

        Fabric(accelerator="cpu", strategy="ddp", devices=launch.per_node, num_nodes=launch.nodes).launch()


def rank() -> int:
    """Return the number of this process in its group, from 0."""
    group = _group()
    return 0 if group is None else group.get_rank()


def world_size() -> int:
    """Return the number of processes in the group."""
    group = _group()
    return 1 if group is None else group.get_world_size()


def usable_cores() -> int:
    """Count the cores that this process may use: a batch system or a container may leave it few of the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def broadcast(function: Callable[[], T]) -> T:
    """Call ``function`` in the first process and return its result in all, so that they agree on what is on disk.

    Raises:
        InputError: raised by ``function`` in the first process; all processes raise it.
    """
    results = [_result_or_error(function) if rank() == 0 else None]
    group = _group()
    if group is not None:
        group.broadcast_object_list(results)
    return _raise_first_error(results)[0]


def all_gather(function: Callable[[], T]) -> list[T]:
    """Call ``function`` in every process and return the results of all, by rank, in all.

    Raises:
        InputError: raised by ``function`` in some process; all processes raise the first.
    """
    own = _result_or_error(function)
    results = [own]
    group = _group()
    if group is not None:
        results = [None] * world_size()
        group.all_gather_object(results, own)
    return _raise_first_error(results)


def init_worker() -> None:
    """Set up a worker process of a pool: it ignores Ctrl-C, which its parent handles, and ends with its parent.

    A worker whose parent was killed would otherwise wait for work for ever. One that is terminated removes what it has
    half written.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop_on((signal.SIGTERM,), SystemExit(TERMINATED))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def stop_on(signals: Iterable[int], error: BaseException | type[BaseException] = KeyboardInterrupt) -> None:
    """Make signals that would end this process raise ``error`` instead, so that temporary files are removed.

    One that somebody has chosen to ignore, as ``nohup`` does, or to handle stays as it is.
    """

    def stop(*_: object) -> None:
        raise error

    for number in signals:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _group() -> Any:
    """Return ``torch.distributed`` if a group has been formed, which takes an import of it somewhere."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed


def _result_or_error(function: Callable[[], Any]) -> Any:
    """Return a user's error instead of raising it: raised in one process alone, it would leave the others waiting."""
    try:
        return function()
    except InputError as error:
        return error


def _raise_first_error(results: list[Any]) -> list[Any]:
    for result in results:
        if isinstance(result, InputError):
            raise result
    return results
