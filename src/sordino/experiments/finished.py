"""What the folder of a finished run holds: its recipe, its scores, those of the noisy input, its methods' tables."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypedDict

from sordino import models
from sordino.assets import nearest_student
from sordino.distill import methods
from sordino.distill.base import Method
from sordino.distill.layers.attention import LayerAttention
from sordino.distill.layers.layer_loss import LayerPairs
from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.evaluation.signals import first_other
from sordino.experiments.recipe import Recipe
from sordino.experiments.run import NOISY, evaluate
from sordino.experiments.run_folder import NOISY_SCORES, SCORES
from sordino.experiments.run_recipe import RECIPE, read_run
from sordino.json_files import fits
from sordino.metrics import Align
from sordino.plugins.modules import demand_names
from sordino.training import read_log
from sordino.training.log import FIGURES
from sordino.training.state import CHECKPOINT
from sordino.types import Progress


class _Figure(TypedDict):
    """One line of ``figures.jsonl``; see ``sordino.report.pages.methods``."""

    step: int
    name: str
    rows: list[str]
    columns: list[str]
    values: list[list[float]]


def recipe_or_none(folder: Path) -> Recipe | None:
    """The recipe of a finished run; None of a folder that holds the scores of some model, and no run."""
    if (folder / SCORES).is_file() and not (folder / RECIPE).is_file():
        return None
    return finished_recipe(folder)


def finished_recipe(folder: Path) -> Recipe:
    """The recipe of a finished run."""
    for name in (RECIPE, CHECKPOINT):
        if not (folder / name).is_file():
            hint = nearest_student(folder)
            inner = sorted(str(scores.parent) for scores in folder.glob(f"*/{SCORES}"))
            if inner:
                hint = f"the scores of models are in {', '.join(inner)}"
            found = f"no finished run: it has no {name}"
            raise InputError(folder, found, "the folder of a run of sordino train", hint)
    return read_run(folder)


def scores_of(folder: Path, recipe: Recipe | None, progress: Progress | None) -> Scores:
    """The scores in a folder; a run's are measured now if there are none, or if they belong to other weights."""
    if recipe is None:
        return Scores.from_json(folder / SCORES)
    if (folder / SCORES).is_file():
        try:
            known = Scores.from_json(folder / SCORES)
        except InputError as error:
            raise InputError(error.where, error.found, hint="remove it: the run is then scored again") from error
        if are_of(known, folder / CHECKPOINT):
            return known
    return evaluate(folder / CHECKPOINT, progress=progress)


def are_of(scores: Scores, checkpoint: Path) -> bool:
    """Whether scores belong to the weights of a run's checkpoint, and not to those of another step."""
    return scores.metadata.get("step") == models.read_about(checkpoint).get("step")


def align_of(scores: Scores) -> Align:
    """How the recordings were aligned with their references; see ``sordino.evaluate``."""
    return scores.metadata.get("align", "exact")


def recording_ids(scores: Scores) -> list[str]:
    """The recordings that were scored."""
    return sorted(row["id"] for row in scores.rows)


def noisy_scores(folder: Path, beside: Sequence[Scores], progress: Progress | None) -> Scores:
    """The scores of the unprocessed input on the same recordings, by all metrics of ``beside``; once for a run."""
    path, ids = folder / NOISY_SCORES, recording_ids(beside[0])
    wanted = list(dict.fromkeys(chain.from_iterable(scores.metrics for scores in beside)))
    if path.is_file():
        with suppress(InputError):  # a damaged file is measured anew, as if it were not there
            known = Scores.from_json(path)
            same = recording_ids(known) == ids and first_other(known.metadata, beside[0].metadata) is None
            if same and align_of(known) == align_of(beside[0]) and set(wanted) <= set(known.metrics):
                return known
    demand_names(wanted, path)
    align = align_of(beside[0])
    scores = evaluate(NOISY, recipe=finished_recipe(folder), metrics=wanted, progress=progress, align=align)
    if recording_ids(scores) != ids or first_other(scores.metadata, beside[0].metadata):
        raise InputError(folder, "was scored on other recordings than its recipe's test set", hint="score it again")
    with suppress(InputError):  # where they cannot be kept, they are measured again next time
        scores.to_json(path)
    return scores


def method_tables(folder: Path) -> list[dict[str, Any]]:
    """The tables that the run's methods logged beside their losses, each with the meaning of its rows and columns."""
    records = read_log(folder, FIGURES)
    if not records:
        return []
    axes = {}
    for name, arguments in finished_recipe(folder).methods.items():
        axes[name] = _axes(methods.create(name, **arguments))
    tables = []
    for record in records:
        below = str(record.get("name")).partition("/")[2]
        method = below.partition("/")[0]  # of kd/METHOD/...
        if not fits(record, _Figure) or method not in axes:
            found = f"a record at step {record['step']} is no table of one of the run's methods"
            raise InputError(folder / FIGURES, found, hint=f"remove {FIGURES}: the page then has no such pictures")
        tables.append({**record, "axes": axes[method]})
    return tables


def _axes(method: Method) -> tuple[str, str]:
    """Names of the axes of the method's tables, where rows and columns do not say what they are."""
    student, teacher = "student's layers", "teacher's layers"
    if isinstance(method, LayerAttention) and method.over == "student":
        return teacher, student
    if isinstance(method, LayerAttention):
        return student, teacher
    if isinstance(method, LayerPairs):
        return student, ""
    return "", ""
