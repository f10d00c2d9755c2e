"""The state of a run on disk: all that it takes to resume as if the run had not been interrupted."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from sordino.assets import RUN_WEIGHTS
from sordino.distributed import world_size
from sordino.errors import InputError
from sordino.files import atomic, sweep
from sordino.models.checkpoint import read_pickled

STATE = "state.pt"
CHECKPOINT, LAST = RUN_WEIGHTS
"""The best weights on the validation recordings, which are the ones to use; and those after the last step: a run that
has that file has taken all its steps."""
FORMAT = 2
"""Format 1, which is still read, chose by PESQ alone and had neither an average nor a count of skipped steps."""


def chosen(folder: Path) -> Path:
    """Return the weights of a finished run to use: the best, or the last of a run without validation recordings."""
    best = folder / CHECKPOINT
    return best if best.is_file() else folder / LAST


def open_folder(folder: Path, resume: bool) -> dict[str, Any] | None:
    """Prepare the folder of a run that begins: create it, and remove the half-written files of a killed run.

    Returns:
        The state to resume from; None for a run that starts anew.

    Raises:
        InputError: the folder holds a run already and ``resume`` is not given, or it holds none and it is.
    """
    if not resume:
        demand_new(folder)
    state = load_state(folder) if resume else None
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    return state


def demand_new(folder: Path) -> None:
    """Refuse a folder that holds a run.

    Raises:
        InputError: it does.
    """
    if (folder / STATE).exists():
        raise InputError(folder, "holds a run already", hint="go on with --resume, or choose another --out")
    if (folder / LAST).exists():
        found = f"holds the weights of a finished run, but not its {STATE}"
        raise InputError(folder, found, hint=f"choose another --out, or remove {LAST}")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Context manager: no other process may hold the folder meanwhile. The lock ends with its process, however it ends.

    Raises:
        InputError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(folder, "another run is at work there", hint="wait for it, or choose another --out") from error
    try:
        yield
    finally:
        if sys.platform != "win32":  # there an open file cannot be removed; filelock does it after the release
            Path(lock.lock_file).unlink(missing_ok=True)  # still held: whoever opened it meanwhile sees that it is gone
        lock.release()


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace the run's state atomically: a run that is killed while saving keeps the state before."""
    # By way of memory: when torch writes the file itself, a full disk is an error of torch's, not an OSError.
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "ranks": world_size(), **state}, buffer)
    with atomic(folder / STATE) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(folder: Path) -> dict[str, Any]:
    """Read the state of a run: tensors and plain values only, nothing that could run code.

    Raises:
        InputError: there is no state, this version cannot read it, or another number of processes wrote it.
    """
    path = folder / STATE
    if not path.is_file():
        raise InputError(folder, "no run to resume here", f"a folder with {STATE}", "start it without --resume")
    state = read_pickled(path, "the state of a training run")
    if not isinstance(state, dict) or state.get("format") not in (1, FORMAT):
        raise InputError(path, "a training state of another version", f"format {FORMAT}", "start the run anew")
    before = state.get("ranks", 1)
    if before != world_size():
        raise InputError(
            path, f"a run of {before} process(es), resumed by {world_size()}", "as many, for the same batches"
        )
    try:
        return _upgraded(state) if state["format"] == 1 else state
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"is damaged ({error})", "the state of a training run", "start the run anew") from error


def same_data(state: dict[str, Any], segments: int, first_ids: Sequence[str] = ()) -> None:
    """Refuse to go on with other recordings than the run began with.

    Args:
        state: of the run; those of older versions lack what is compared.
        segments: number of training segments: of more or fewer of them, others would be drawn.
        first_ids: of the items with which the run begins: with recordings of other names, these are others.

    Raises:
        InputError: one of these differs.
    """
    before, ids = state.get("segments", segments), state.get("first_ids", first_ids)
    found = ""
    if before != segments:
        found = f"has {segments} segments, but the run began with {before}"
    elif first_ids and list(ids) != list(first_ids):
        old, new = next(pair for pair in zip_longest(ids, first_ids) if pair[0] != pair[1])
        found = f"has other recordings: the run began with {old}, which is {new} now"
    if found:
        hint = "put them back, or begin a new run from its weights with model: {checkpoint: FILE}"
        raise InputError("data", found, "the same recordings", hint)


@contextmanager
def matching(folder: Path) -> Iterator[None]:
    """Context manager: inside, a run takes over the state in its folder.

    Raises:
        InputError: the state is that of a network, a method or a loss whose code has changed since.
    """
    try:
        yield
    except InputError:
        raise
    except (KeyError, RuntimeError, ValueError) as error:
        reason, _, _ = str(error).partition("\n")
        found = f"does not fit the network and the methods as they are now ({reason})"
        raise InputError(folder / STATE, found, hint="put their code back, or give the run another folder") from error


def _upgraded(state: dict[str, Any]) -> dict[str, Any]:
    """Convert a state of format 1 to today's; the run goes on choosing by PESQ alone."""
    best = state["best"]
    if best:
        pesq, step = best
        best = (pesq, step, {"pesq_wb": pesq, "score": pesq})
    judge = {"select": {"pesq_wb": 1.0}, "best": best}
    return state | {"judge": judge, "average": None, "stepper": {"refused": 0, "in_a_row": 0}}
