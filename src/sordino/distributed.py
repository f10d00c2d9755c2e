"""The processes of one run: how many a launcher started, what they tell each other, and those that serve one of them.

``torchrun``, or ``srun`` of SLURM, starts the same command once for every device and says so in its environment. The
processes meet when training or an evaluation begins (``join``, or the Fabric of a trainer); until then, and in a
command that was started once, this process is the first and only one, and every function here is a plain call.

Nothing here imports torch before processes meet.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from sordino.errors import InputError

T = TypeVar("T")


class Launch(NamedTuple):
    """What a launcher started: so many processes on each of so many machines."""

    per_node: int = 1
    nodes: int = 1


def launched() -> Launch:
    """What ``torchrun`` or ``srun`` says in the environment; a single process where neither was used.

    Raises:
        InputError: SLURM put unlike numbers of processes on its machines.
    """
    told = os.environ
    if "TORCHELASTIC_RUN_ID" in told:
        per_node = int(told["LOCAL_WORLD_SIZE"])
        return Launch(per_node, int(told["WORLD_SIZE"]) // per_node)
    # The variables of a step, which srun alone sets: those of the job are there for the batch script as well.
    tasks, nodes = int(told.get("SLURM_STEP_NUM_TASKS", 1)), int(told.get("SLURM_STEP_NUM_NODES", 1))
    if tasks % nodes:
        raise InputError("srun", f"{tasks} tasks on {nodes} nodes", "as many on each", "give --ntasks-per-node")
    return Launch(tasks // nodes, nodes)


def join() -> None:
    """Meet the other processes of the launcher, to exchange what lies in main memory."""
    per_node, nodes = launched()
    if per_node * nodes > 1 and _group() is None:
        from lightning_fabric import Fabric

        Fabric(accelerator="cpu", strategy="ddp", devices=per_node, num_nodes=nodes).launch()


def rank() -> int:
    """The number of this process, from 0, among those that have met."""
    group = _group()
    return 0 if group is None else group.get_rank()


def world_size() -> int:
    """How many processes have met."""
    group = _group()
    return 1 if group is None else group.get_world_size()


def broadcast(ask: Callable[[], T]) -> T:
    """What ``ask`` answers in the first process, told to all: so they agree on what they find on disk.

    Raises:
        InputError: the first process met one; all raise it.
    """
    answer = [_caught(ask) if rank() == 0 else None]
    group = _group()
    if group is not None:
        group.broadcast_object_list(answer)
    return _raised(answer)[0]


def every(do: Callable[[], T]) -> list[T]:
    """What ``do`` returns in each process, in their order, told to all.

    Raises:
        InputError: some process met one; all raise the first.
    """
    answers = [_caught(do)]
    group = _group()
    if group is not None:
        mine, answers = answers[0], [None] * world_size()
        group.all_gather_object(answers, mine)
    return _raised(answers)


def serve() -> None:
    """Make this process one that serves its parent, as those of a pool do.

    Ctrl-C is the parent's to answer, and when the parent is killed this process leaves: nobody else would ever end it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _group() -> Any:
    """``torch.distributed`` if processes have met; it cannot be so where nobody has imported it."""
    distributed = sys.modules.get("torch.distributed")
    return distributed if distributed and distributed.is_available() and distributed.is_initialized() else None


def _caught(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except InputError as error:
        return error


def _raised(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, InputError):
            raise answer
    return answers
