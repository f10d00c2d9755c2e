"""Runs side by side, and models from elsewhere: scores, costs, learning curves and sound, as a table and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from sordino import models
from sordino.distill import methods
from sordino.distill.base import Method
from sordino.distill.layers.attention import LayerAttention
from sordino.distill.layers.layer_loss import LayerPairs
from sordino.errors import InputError
from sordino.evaluation.cost import paper_flops
from sordino.evaluation.score import Scores
from sordino.evaluation.speed import real_time_factor
from sordino.experiments.build import build_source
from sordino.experiments.recipe import RECIPE, Recipe, read_run
from sordino.experiments.run import NOISY, SCORES, evaluate
from sordino.experiments.side_by_side import measured, played
from sordino.experiments.side_by_side import titles as titles_of
from sordino.inference.graphs.card import is_card
from sordino.inference.resolve import resolve
from sordino.plugins.modules import demand_names
from sordino.report.pages.parts import check_page
from sordino.report.pages.runs import write_page
from sordino.report.paper import PaperRow, results
from sordino.report.runs import RunRow
from sordino.training import read_log
from sordino.training.log import FIGURES
from sordino.training.state import CHECKPOINT
from sordino.types import Progress

NOISY_SCORES = "noisy.json"


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
) -> tuple[list[RunRow], list[PaperRow]]:
    """Put runs on the same test set side by side, the noisy input first.

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

    Raises:
        InputError: a folder without a finished run, no run among them, different test sets, or another's page.
    """
    check_page(page)
    words = [str(run) for run in runs if _is_model(run)]
    folders = [Path(run) for run in runs if str(run) not in words]
    # All recipes are read before a run is scored, so that a mistake in the last one is reported at once.
    recipes = [_recipe_of(folder) for folder in folders]
    trained = [folder for folder, recipe in zip(folders, recipes, strict=True) if recipe is not None]
    if not trained:
        expected = "a folder of a run of sordino train among the others"
        raise InputError(runs[0], "holds scores alone" if folders else "is a model", expected)
    entries = []
    for folder, recipe in zip(folders, recipes, strict=True):
        entries.append(_Entry(folder, recipe, _scores(folder, recipe, progress)))
    _same_test(entries)
    noisy = _noisy(trained[0], entries, progress)
    rows = [RunRow.of(noisy, name=NOISY)]
    opened = {}
    for title, entry in zip(_titles(entries), entries, strict=True):
        rows.append(_row(title, entry, noisy))
        if entry.recipe is not None:
            opened[title] = entry.folder
    published = _published(recipes) if paper else []
    others = dict(zip(titles_of(words), words, strict=True))
    for name, word in others.items():
        own = evaluate(word, recipe=trained[0] / RECIPE, metrics=entries[0].scores.metrics, progress=progress)
        rows.append(measured(word, name, own, noisy=noisy))
    if others:
        speeds = {title: real_time_factor(folder / CHECKPOINT).median for title, folder in opened.items()}
        rows = [replace(row, rtf=speeds.get(row.name, row.rtf)) for row in rows]
    if page is not None:
        _write(page, rows, published, opened, others, examples, closing)
    return rows, published


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
    source = build_source(_recipe(next(iter(runs.values()))).data)
    curves = {title: read_log(folder) for title, folder in runs.items()}
    playing = {title: folder / CHECKPOINT for title, folder in runs.items()} | dict(others)
    shown = played(source.test(), source.sample_rate, playing, examples)
    figures = {title: _tables(folder) for title, folder in runs.items()}
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


def _recipe_of(folder: Path) -> Recipe | None:
    """The recipe of a finished run; None of a folder that holds the scores of some model, and no run."""
    if (folder / SCORES).is_file() and not (folder / RECIPE).is_file():
        return None
    return _recipe(folder)


def _same_test(entries: Sequence[_Entry]) -> None:
    """Refuse to put figures side by side that do not stand for the same signals."""
    first, *others = entries
    first_rate = first.scores.metadata.get("sample_rate")
    for folder, _, scores in others:
        if _ids(scores) != _ids(first.scores):
            raise InputError(folder, f"was scored on other recordings than {first.folder}", "the same test set")
        rate = scores.metadata.get("sample_rate")
        if rate != first_rate:
            found = f"was scored at {rate} Hz, and {first.folder} at {first_rate} Hz"
            raise InputError(folder, found, "the same rate")


def _recipe(folder: Path) -> Recipe:
    """The recipe of a finished run."""
    for name in (RECIPE, CHECKPOINT):
        if not (folder / name).is_file():
            hint = ""
            inner = sorted(str(scores.parent) for scores in folder.glob(f"*/{SCORES}"))
            if inner:
                hint = f"the scores of models are in {', '.join(inner)}"
            found = f"no finished run: it has no {name}"
            raise InputError(folder, found, "the folder of a run of sordino train", hint)
    return read_run(folder)


def _titles(entries: Sequence[_Entry]) -> list[str]:
    """Titles of runs and scored models; two seeds of one recipe differ in their folders."""
    titles = []
    for folder, recipe, scores in entries:
        if recipe is None:
            titles.append(str(scores.metadata.get("model", folder.name)))
        else:
            titles.append(recipe.title or folder.name)
    distinct = []
    for title, entry in zip(titles, entries, strict=True):
        shared = titles.count(title) > 1
        distinct.append(f"{title} ({entry.folder})" if shared else title)
    return distinct


def _scores(folder: Path, recipe: Recipe | None, progress: Progress | None) -> Scores:
    """The scores in a folder; a run's are measured now if there are none, or if they belong to other weights."""
    if recipe is None:
        return Scores.from_json(folder / SCORES)
    if (folder / SCORES).is_file():
        known = Scores.from_json(folder / SCORES)
        if known.metadata.get("step") == models.read_header(folder / CHECKPOINT)["about"].get("step"):
            return known
    return evaluate(folder / CHECKPOINT, progress=progress)


def _ids(scores: Scores) -> list[str]:
    """The recordings that were scored."""
    return sorted(row["id"] for row in scores.rows)


def _noisy(folder: Path, beside: Sequence[_Entry], progress: Progress | None) -> Scores:
    """The scores of the unprocessed input on the same recordings, by all metrics of ``beside``; once for a run."""
    path, ids = folder / NOISY_SCORES, _ids(beside[0].scores)
    wanted = list(dict.fromkeys(chain.from_iterable(entry.scores.metrics for entry in beside)))
    if path.is_file():
        known = Scores.from_json(path)
        if _ids(known) == ids and set(wanted) <= set(known.metrics):
            return known
    demand_names(wanted, path)
    scores = evaluate(NOISY, recipe=_recipe(folder), metrics=wanted, progress=progress)
    if _ids(scores) != ids:
        raise InputError(folder, "was scored on other recordings than its recipe's test set", hint="score it again")
    scores.to_json(path)
    return scores


def _tables(folder: Path) -> list[dict[str, Any]]:
    """The tables that the run's methods logged beside their losses, each with the meaning of its rows and columns."""
    records = read_log(folder, FIGURES)
    if not records:
        return []
    axes = {}
    for name, arguments in _recipe(folder).methods.items():
        axes[name] = _axes(methods.create(name, **arguments))
    tables = []
    for record in records:
        _, method, *_ = record["name"].split("/")  # kd/METHOD/...
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
