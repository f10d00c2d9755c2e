"""Compare runs and other models: scores, costs, learning curves and sound, in a table and on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sordino import models
from sordino.errors import InputError, keeping
from sordino.evaluation.cost import paper_flops
from sordino.evaluation.score import Scores
from sordino.evaluation.signals import first_other
from sordino.evaluation.speed import real_time_factor
from sordino.experiments.build import build_source
from sordino.experiments.finished import (
    align_of,
    finished_recipe,
    method_tables,
    noisy_scores,
    recipe_or_none,
    recording_ids,
    scores_of,
)
from sordino.experiments.recipe import Recipe
from sordino.experiments.run import NOISY, SCORES, evaluate
from sordino.experiments.run_recipe import RECIPE
from sordino.experiments.side_by_side import demand_named, demand_once, distinct, measured, played
from sordino.inference.graphs.card import is_card
from sordino.inference.resolve import resolve
from sordino.report.differences import compared
from sordino.report.pages.parts import check_page
from sordino.report.pages.runs import write_page
from sordino.report.paper import PaperRow, results
from sordino.report.runs import RunRow
from sordino.training import read_log
from sordino.training.state import CHECKPOINT
from sordino.types import Progress


class _Entry(NamedTuple):
    """A folder that is compared."""

    folder: Path
    recipe: Recipe | None
    """None where the folder holds scores alone, and no run."""
    scores: Scores


def compare(
    runs: Sequence[str | Path],
    page: str | Path | None = None,
    paper: bool = False,
    examples: int = 3,
    progress: Progress | None = None,
    closing: Mapping[str, str] | None = None,
    against: str | None = None,
) -> tuple[list[RunRow], list[PaperRow]]:
    """Compare runs on the same test set, with the noisy input first.

    Args:
        runs: their folders; a run without scores is scored on its recipe's test set first. A folder with scores alone,
            which ``sordino evaluate --out`` writes for any model, is a row too, without sizes, curves or sound. Other
            words name models, which are scored on the first run's test set: rows with sizes and sound, and then
            all rows say their speed.
        page: where to write the HTML page; none is written when left out.
        paper: put the published rows that the recipes name beside the measured ones.
        examples: test recordings to show and to play on the page.
        progress: called after every file that is scored.
        closing: sections at the end of the page, heading to HTML.
        against: the one of ``runs``, or ``noisy``, that the others are compared with, file by file.

    Raises:
        InputError: ``against`` is none of them, a folder without a finished run, no run among them, different test
            sets, another's page, or fewer than no examples.
    """
    check_page(page, examples)
    demand_once([str(run) for run in runs])
    demand_named(against, [NOISY, *map(str, runs)])
    words = [str(run) for run in runs if _is_model(run)]
    folders = [Path(run) for run in runs if str(run) not in words]
    # All recipes are read before a run is scored, so that a mistake in the last one is reported at once.
    recipes = [recipe_or_none(folder) for folder in folders]
    trained = [folder for folder, recipe in zip(folders, recipes, strict=True) if recipe is not None]
    if not trained:
        found = "holds scores alone" if folders else "is a model"
        raise InputError(runs[0], found, "a folder of a run of sordino train among the others")
    entries = _scored(folders, recipes, progress)
    scores = [entry.scores for entry in entries]
    noisy, first = noisy_scores(trained[0], scores, progress), scores[0]
    rows, opened, titles = [RunRow.of(noisy, name=NOISY)], {}, _titles(entries, words)
    for title, entry in zip(titles, entries, strict=False):  # those of the models follow
        rows.append(_row(title, entry, noisy))
        if entry.recipe is not None:
            opened[title] = entry.folder
    published = _published(recipes) if paper else []
    others = dict(zip(titles[len(entries) :], words, strict=True))
    rows += _model_rows(others, trained[0] / RECIPE, first, noisy, progress)
    rows = _timed(rows, opened) if others else rows
    if against is not None:
        place = [NOISY, *(str(run) for run in runs if str(run) not in words), *words].index(against)
        rows = compared(rows, rows[place].name)
    if page is not None:
        with keeping((rows, published)):
            _write(page, rows, published, opened, others, examples, closing)
    return rows, published


def _scored(folders: Sequence[Path], recipes: Sequence[Recipe | None], progress: Progress | None) -> list[_Entry]:
    """Score the runs that have no scores yet; refuse those whose scores are of other signals."""
    entries = []
    for folder, recipe in zip(folders, recipes, strict=True):
        entries.append(_Entry(folder, recipe, scores_of(folder, recipe, progress)))
    _same_test(entries)
    return entries


def _model_rows(
    models: Mapping[str, str], recipe: Path, first: Scores, noisy: Scores, progress: Progress | None
) -> list[RunRow]:
    """Score models, name to word, on the test set of a recipe, in the way in which ``first`` was measured."""
    rows = []
    for name, word in models.items():
        own = evaluate(word, recipe=recipe, metrics=first.metrics, progress=progress, align=align_of(first))
        rows.append(measured(word, name, own, noisy=noisy))
    return rows


def _timed(rows: Sequence[RunRow], runs: Mapping[str, Path]) -> list[RunRow]:
    """Measure the speed of the runs, known by their titles, so that all models of a table have one."""
    speeds = {title: real_time_factor(folder / CHECKPOINT).median for title, folder in runs.items()}
    return [replace(row, rtf=speeds[row.name], in_torch=True) if row.name in speeds else row for row in rows]


def _row(title: str, entry: _Entry, noisy: Scores) -> RunRow:
    """The row of a run; of a folder with scores alone, without sizes."""
    folder, recipe, scores = entry
    if recipe is None:
        return RunRow.of(scores, title, noisy=noisy)
    network = models.load(folder / CHECKPOINT)
    name = "" if recipe.paper is None else recipe.paper.row
    return RunRow.of(scores, title, float(models.count_parameters(network)), paper_flops(network), name, noisy)


def _published(recipes: Sequence[Recipe | None]) -> list[PaperRow]:
    """The rows of the paper that recipes name."""
    rows = []
    for recipe in recipes:
        if recipe is not None and recipe.paper is not None:
            rows += [row for row in results(recipe.paper.table) if row.name == recipe.paper.row]
    return rows


def _write(
    page: str | Path,
    rows: Sequence[RunRow],
    published: Sequence[PaperRow],
    runs: Mapping[str, Path],
    others: Mapping[str, str],
    examples: int,
    closing: Mapping[str, str] | None,
) -> None:
    """Write the page of runs, whose folders are known by their titles, and of other models, known by theirs."""
    source = build_source(finished_recipe(next(iter(runs.values()))).data)
    curves = {title: read_log(folder) for title, folder in runs.items()}
    playing = {title: folder / CHECKPOINT for title, folder in runs.items()} | dict(others)
    shown = played(source.test(), source.sample_rate, playing, examples)
    figures = {title: method_tables(folder) for title, folder in runs.items()}
    titles = " / ".join(row.name for row in rows if row.name != NOISY)
    write_page(page, titles, rows, curves, shown, source.synthetic, published, figures, closing)


def _is_model(run: str | Path) -> bool:
    """Whether a word names a model, and no folder of a run or of scores."""
    folder = Path(run)
    if folder.is_dir() and ((folder / RECIPE).exists() or (folder / SCORES).exists()):
        return False
    if is_card(run):
        return True
    try:
        resolve(run)
    except InputError:
        return False  # what reads folders says what is wrong with it
    return True


def _same_test(entries: Sequence[_Entry]) -> None:
    """Refuse to put figures side by side that do not stand for the same signals."""
    first, *others = entries
    first_rate, first_align = first.scores.metadata.get("sample_rate"), align_of(first.scores)
    for folder, _, scores in others:
        if recording_ids(scores) != recording_ids(first.scores):
            raise InputError(folder, f"was scored on other recordings than {first.folder}", "the same test set")
        if name := first_other(scores.metadata, first.scores.metadata):
            found = f"was scored on other recordings than {first.folder}, of the same names: {name} is not the same"
            raise InputError(folder, found, "the same test set")
        rate = scores.metadata.get("sample_rate")
        if rate != first_rate:
            found = f"was scored at {rate} Hz, and {first.folder} at {first_rate} Hz"
            raise InputError(folder, found, "the same rate")
        align = align_of(scores)
        if align != first_align:
            found = f"was scored with --align {align}, and {first.folder} with --align {first_align}"
            raise InputError(folder, found, "the same alignment", "score one of them again")


def _titles(entries: Sequence[_Entry], models_beside: Sequence[str]) -> list[str]:
    """Names of the runs, scored models and further models; two seeds of one recipe differ in their folders."""
    names, longer = [], []
    for folder, recipe, scores in entries:
        stated = recipe.title if recipe is not None else str(scores.metadata.get("model", ""))
        name = stated or folder.name
        names.append(name)
        longer.append(f"{name} ({folder})")
    for word in models_beside:
        names.append(resolve(word).name)
        longer.append(word)
    return distinct(names, longer)
