"""The state of a run on disk, complete enough to go on as if nothing had happened."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from sotto.errors import InputError
from sotto.files import atomic

STATE = "state.pt"
FORMAT = 1


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace the run's state atomically: a run that is killed while saving keeps the state before."""
    with atomic(folder / STATE) as temporary:
        torch.save({"format": FORMAT, **state}, temporary)


def load_state(folder: Path) -> dict[str, Any]:
    """Read the state of a run; tensors and plain values only, nothing that executes.

    Raises:
        InputError: no state there, or not one that this version reads.
    """
    path = folder / STATE
    if not path.is_file():
        raise InputError(folder, "no run to resume here", f"a folder with {STATE}", "start it without --resume")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(path, "not a readable training state", do="start the run anew in another folder") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(path, "a training state of another version", f"format {FORMAT}", "start the run anew")
    return state
