"""The folder of a run: whether a run can begin or go on there, and what is written and removed before it does."""

from __future__ import annotations

from pathlib import Path

from sordino.errors import InputError
from sordino.experiments.recipe import Recipe, RecipeLike
from sordino.experiments.run_recipe import (
    BEGAN,
    RECIPE,
    RECOVERY,
    as_resumed,
    holds_other_recipe,
    keep_beginning,
    same_recipe,
    write_recipe,
)
from sordino.experiments.run_teacher import TEACHER, keep_teacher, same_teacher
from sordino.files import demand_own
from sordino.training.divergence import GOOD, return_to_good
from sordino.training.log import FIGURES, LOG
from sordino.training.state import CHECKPOINT, LAST, STATE, demand_new, load_state

SCORES, SCORES_CSV, NOISY_SCORES = "scores.json", "scores.csv", "noisy.json"
"""Files in a run's folder: the scores of its best weights, as JSON and as CSV, and those of the noisy input."""


def demand_folder(recipe: Recipe, out: str | Path | None = None, resume: bool = False) -> None:
    """Check, without a trace, that a run can have its folder.

    Args:
        recipe: of the run.
        out: its folder; that of the recipe when left out.
        resume: whether the run in that folder is to go on.

    Raises:
        InputError: a run that is not to be resumed or cannot be, or a place that cannot be written.
    """
    folder = recipe.folder if out is None else Path(out)
    if resume:
        changes_rate(folder, recipe)
    _demand_place(folder, recipe, resume)
    demand_own(folder / CHECKPOINT, b"", "checkpoint")


def can_resume(folder: Path) -> bool:
    """Return whether a folder has a recipe, and a state or at least weights that a run would otherwise refuse."""
    return (folder / RECIPE).is_file() and ((folder / STATE).exists() or (folder / CHECKPOINT).exists())


def same_run(folder: Path, recipe: Recipe) -> Recipe:
    """Return the recipe with which a run goes on, as ``as_resumed`` does; refuse another recipe or another teacher.

    Raises:
        InputError: no run there, another recipe, or another teacher.
    """
    resumed = as_resumed(folder, recipe)
    same_recipe(folder, resumed)
    same_teacher(folder, recipe)
    return resumed


def changes_rate(folder: Path, recipe: Recipe) -> bool:
    """Return whether a run is resumed with other values of ``RECOVERY``; refuse any other change, as ``same_run`` does.

    Raises:
        InputError: as for ``same_run``; or other values for a run that has taken all its steps.
    """
    changes = same_recipe(folder, recipe, RECOVERY)
    same_teacher(folder, recipe)
    if changes and (folder / LAST).is_file() and not (folder / GOOD).is_file():
        hint = f"begin a run from its weights: model.checkpoint={folder / LAST}"
        raise InputError(folder, "has taken all its steps, so no rate can change", "the same recipe", hint)
    return changes


def prepare_folder(folder: Path, recipe: Recipe, resume: bool, changed: bool, given: RecipeLike) -> bool:
    """Write the recipe into the folder of its run; return whether there is a state to go on from.

    Without ``resume`` the folder must be new. With it, a run that was killed before it first saved starts anew, and one
    whose rate is ``changed`` goes on from its last good state, if it had diverged. Scores of other weights are removed.

    Raises:
        InputError: the folder holds a run that is not to be resumed or cannot be, or files that would be written over.
    """
    _demand_place(folder, recipe, resume)
    saved = resume and (folder / STATE).exists()
    is_of_run = saved or _is_of_run(folder)
    if not saved:
        keep_beginning(folder, recipe)  # first, as it marks the folder as that of a run
        keep_teacher(folder, recipe)
        (folder / GOOD).unlink(missing_ok=True)  # of a run before, whose state and last weights were removed
    if not resume:
        write_recipe(folder, recipe, given)
    elif changed:
        write_recipe(folder, recipe)
    if saved and changed and load_state(folder).get("fallen"):
        return_to_good(folder)
        (folder / LAST).unlink(missing_ok=True)  # the run has steps left again
    if is_of_run and (changed or not saved):
        for path in _scores(folder):
            path.unlink(missing_ok=True)
    return saved


def _is_of_run(folder: Path) -> bool:
    """Return whether a folder is that of a run, so that the files in it are the run's."""
    return (folder / BEGAN).is_file()


def _scores(folder: Path) -> list[Path]:
    """List the scores in a folder, of its run and of the noisy input."""
    return [*folder.glob("scores*.json"), *folder.glob("scores*.csv"), *folder.glob(NOISY_SCORES)]


def _demand_place(folder: Path, recipe: Recipe, resume: bool) -> None:
    """Refuse a folder in which a run can neither begin nor go on.

    Raises:
        InputError: it has a run that is not to be resumed, a finished one without its state, or files of other origin.
    """
    if not (resume and (folder / STATE).exists()):
        demand_new(folder)
    if not resume:
        _demand_free(folder, recipe)


def _demand_free(folder: Path, recipe: Recipe) -> None:
    """Refuse weights, and files of other origin, that a run would remove or write over.

    The same recipe alone may be left of a run that was killed, and is written anew.

    Raises:
        InputError: there is such a file.
    """
    if (folder / CHECKPOINT).exists():
        again = "begin it again with --resume, " if can_resume(folder) else ""
        hint = f"{again}choose another --out, or remove {CHECKPOINT}"
        raise InputError(folder, f"holds the weights of a run, {CHECKPOINT}, but not its {STATE}", hint=hint)
    if _is_of_run(folder):
        return
    hint = "choose another folder by --out, or move the file"
    for path in (*(folder / name for name in (TEACHER, GOOD, LOG, FIGURES)), *_scores(folder)):
        if path.exists():
            raise InputError(path, "is there, though the folder is not that of a run", hint=hint)
    if holds_other_recipe(folder, recipe):
        raise InputError(folder / RECIPE, "is another recipe, which would be written over", hint=hint)
