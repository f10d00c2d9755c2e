"""Runs that diverge: the last good state is kept beside the latest, and a resumed run continues from it.

A run has diverged when a term, the gradient or a weight is not finite, or when a validation after the warm-up is worse
than the best before it and worse than the noisy input. The former end it. The latter may pass, so it is only reported.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from sordino.distributed import rank
from sordino.errors import InputError
from sordino.files import atomic
from sordino.training.state import STATE, load_state

GOOD = "good.pt"
"""The state after the last good validation; a run that ends well deletes it."""


FALLEN = (
    "validation at step {step} is below the noisy input, and below that at step {best}: the run may have diverged; "
    "stop it, and go on from its last good state with --resume and a lower train.max_lr or train.grad_clip"
)


class Diverged(InputError):
    """A term, the gradient or a weight is not finite."""


def demand_finite(network: nn.Module) -> None:
    """Refuse to score or save a network that its last update has ruined.

    Raises:
        Diverged: a weight is not finite.
    """
    for name, parameter in network.named_parameters():
        if not parameter.isfinite().all():
            hint = "lower train.max_lr, or clip the gradient by train.grad_clip"
            raise Diverged("train", f"the weight {name} is not finite", "finite weights", hint)


def keep_good(folder: Path) -> None:
    """Keep the state of a run as a good one, which later saves do not replace."""
    _link(folder / STATE, folder / GOOD)


@contextmanager
def back_to_good(folder: Path) -> Iterator[None]:
    """Context manager: a run that diverges leaves its last good state, if there is one, and its error says so."""
    try:
        yield
    except Diverged as error:
        step = return_to_good(folder) if rank() == 0 else None
        if step is None:
            raise
        hint = f"the state is the last good one again, that of step {step}: go on with --resume, and {error.hint}"
        raise Diverged(error.where, error.found, error.expected, hint) from error


def return_to_good(folder: Path) -> int | None:
    """Restore the last good state in place of the latest; return its step, or None if there is none."""
    if not (folder / GOOD).is_file():
        return None
    _link(folder / GOOD, folder / STATE)
    return load_state(folder)["step"]


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, atomically: states are replaced and never changed."""
    with atomic(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(source, temporary)
