"""The state of a run on disk, complete enough to go on as if nothing had happened."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from sordino.distributed import world_size
from sordino.errors import InputError
from sordino.files import atomic
from sordino.models.checkpoint import read_pickled

STATE = "state.pt"
CHECKPOINT = "best.safetensors"
"""The weights of a run to use: its best on the validation recordings."""
LAST = "last.safetensors"
"""The weights at the end of a run: one that has them has taken all its steps."""
FORMAT = 2
"""Format 1 chose by PESQ alone, and knew neither an average nor refused steps; it is still read."""


def chosen(folder: Path) -> Path:
    """The weights of a finished run to use: the best, or the last of a run without validation recordings."""
    best = folder / CHECKPOINT
    return best if best.is_file() else folder / LAST


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace the run's state atomically: a run that is killed while saving keeps the state before."""
    # Through memory, as torch's own writing tells of a full disk in its own way.
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "ranks": world_size(), **state}, buffer)
    with atomic(folder / STATE) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(folder: Path) -> dict[str, Any]:
    """Read the state of a run; tensors and plain values only, nothing that executes.

    Raises:
        InputError: no state there, not one that this version reads, or one of another number of processes.
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
    return _upgraded(state) if state["format"] == 1 else state


def _upgraded(state: dict[str, Any]) -> dict[str, Any]:
    """A state of format 1 as one of today, which goes on choosing by PESQ alone."""
    best = state["best"] and (*state["best"], {"pesq_wb": state["best"][0], "score": state["best"][0]})
    judge = {"select": {"pesq_wb": 1.0}, "best": best}
    return state | {"judge": judge, "average": None, "stepper": {"refused": 0, "in_a_row": 0}}
