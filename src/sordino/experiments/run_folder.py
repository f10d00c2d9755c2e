"""The folder of a run: whether a run can begin or go on there, and what is written and removed before it does."""

from __future__ import annotations

from pathlib import Path

from sordino.errors import InputError
from sordino.experiments.recipe import Recipe, RecipeLike
from sordino.experiments.run_recipe import RECOVERY, as_resumed, has_begun, keep_beginning, same_recipe, write_recipe
from sordino.experiments.run_teacher import TEACHER, keep_teacher, same_teacher
from sordino.files import demand_own
from sordino.training.divergence import GOOD, return_to_good
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
    else:
        demand_new(folder)
        _demand_free(folder)
    demand_own(folder / CHECKPOINT, b"", "checkpoint")


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
    saved = resume and (folder / STATE).exists()
    if not saved:
        demand_new(folder)
        if not resume:
            _demand_free(folder)
        write_recipe(folder, recipe, given)
        keep_teacher(folder, recipe)
        keep_beginning(folder, recipe)
        (folder / GOOD).unlink(missing_ok=True)  # of a run before, whose state and last weights were removed
    elif changed:
        write_recipe(folder, recipe)
        if load_state(folder).get("fallen"):
            return_to_good(folder)
            (folder / LAST).unlink(missing_ok=True)  # the run has steps left again
    if changed or not saved:
        for path in (*folder.glob("scores*.json"), *folder.glob("scores*.csv"), folder / NOISY_SCORES):
            path.unlink(missing_ok=True)
    return saved


def _demand_free(folder: Path) -> None:
    """Refuse weights, and files of other origin, that a run would remove or write over.

    A recipe alone may be left of a run that was killed, and is written anew; ``write_recipe`` keeps any other.

    Raises:
        InputError: there is such a file.
    """
    if (folder / CHECKPOINT).exists():
        hint = f"begin it again with --resume, choose another --out, or remove {CHECKPOINT}"
        raise InputError(folder, f"holds the weights of a run, {CHECKPOINT}, but not its {STATE}", hint=hint)
    if has_begun(folder):
        return
    for name in (TEACHER, SCORES, SCORES_CSV, NOISY_SCORES):
        if (folder / name).exists():
            hint = "choose another folder by --out, or move the file"
            raise InputError(folder / name, "is there, though the folder is not that of a run", hint=hint)
