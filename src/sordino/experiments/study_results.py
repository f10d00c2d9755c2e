"""Study results: its runs, the noisy input and the teachers on every test set, and the paper's figures beside.

What is not scored yet is scored here, but for what runs scored themselves when they were trained: scores lie in the
folder of a run, and those of the noisy input and the teachers in ``references/``. Those of the recipe's own test set
are ``scores.json``, those of a further one ``scores-NAME.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from sordino import models
from sordino.evaluation.cost import paper_flops
from sordino.evaluation.score import Scores
from sordino.experiments import run
from sordino.experiments.build import build_network
from sordino.experiments.finished import are_of
from sordino.experiments.recipe import Recipe
from sordino.experiments.run import NOISY, SCORES
from sordino.experiments.study_plan import ScoredSet, Study, StudyRun
from sordino.experiments.study_teachers import teachers, whole_name
from sordino.files import slug, write_text
from sordino.inference.resolve import ModelSource
from sordino.json_files import write_json
from sordino.metrics import DEFAULT
from sordino.report.pages.study import write_study
from sordino.report.paper import PaperRow, results
from sordino.report.studies import StudyRow, study_rows
from sordino.report.study_cells import NetworkSize, StudyCell
from sordino.report.study_tables import study_tables
from sordino.report.table import Style, write_tables
from sordino.training.log import read_log
from sordino.training.state import chosen
from sordino.types import Progress

STYLES: dict[str, Style] = {"md": "markdown", "tex": "latex", "csv": "csv"}
VALID = ("valid/pesq_wb", "valid/pesq_nb")
"""What the learning curves show: PESQ, of which a run logs the one for its rate."""


class Judged(NamedTuple):
    """A model that a study scores: a run's, a teacher, or the noisy input as it is."""

    cell: StudyCell
    model: str | Path | ModelSource
    recipe: Recipe
    """Whose test set it is scored on, where the study names no folders."""
    folder: Path
    """Of its scores."""


Lines = dict[str, list[StudyRow]]
"""Test set -> rows of its table."""


def summary(study: Study, runs: Sequence[StudyRun], progress: Progress | None = None) -> tuple[Lines, str]:
    """Sum up the runs that are done, the noisy input and the teachers above them, and write it in every style.

    Returns:
        The lines of the table of each test set, and the tables as text.
    """
    out, synthetic = Path(study.out), False
    rows_by_test: Lines = {}
    trained = [Judged(one.cell, chosen(one.folder), one.recipe, one.folder) for one in runs]
    # What belongs to no scenario, as the noisy input where all have the same data, goes first.
    order = ["", *dict.fromkeys(one.cell.scenario for one in runs)]
    networks = _network_sizes(runs)
    for name, test in study.tests.items():
        references = _references(study, test, runs)
        scores: dict[StudyCell, list[Scores]] = {}
        for judged in sorted([*references, *trained], key=lambda judged: order.index(judged.cell.scenario)):
            own = _score(study, name, judged, progress)
            scores.setdefault(judged.cell, []).append(own)
            synthetic |= bool(own.metadata.get("synthetic"))
        sizes = _teacher_sizes(references) | networks
        rows_by_test[name] = study_rows(scores, study.against, sizes, printed(study.paper, test, scores))
    tables = study_tables(rows_by_test, study.against, synthetic, study.note)
    for suffix, style in STYLES.items():
        write_text(out / f"table.{suffix}", write_tables(tables, style))
    tests = {}
    for name, rows in rows_by_test.items():
        tests[name] = [row.as_json() for row in rows]
    write_json(out / "study.json", {"study": asdict(study), "tests": tests})
    curves = _learning_curves(runs)  # last, as it stops at a log that is damaged
    write_study(out, study.title or out.name, rows_by_test, study.against, synthetic, curves, study.note)
    return rows_by_test, write_tables(tables, "text")


def _learning_curves(runs: Sequence[StudyRun]) -> dict[StudyCell, list[list[tuple[int, float]]]]:
    """Step and PESQ of each validation, a list for each seed."""
    curves: dict[StudyCell, list[list[tuple[int, float]]]] = {}
    for one in runs:
        points = []
        for record in read_log(one.folder):
            points += [(record["step"], record[name]) for name in VALID if name in record]
        curves.setdefault(one.cell, []).append(points)
    return curves


def scored(study: Study, name: str, folder: Path, marks: Mapping[str, Any] | None = None) -> Scores | None:
    """The scores in ``folder`` on the test set called ``name``, if they are by all metrics and on the same folders.

    Args:
        study: has the test set.
        name: of the test set.
        folder: of a run or of a reference.
        marks: what stands beside scores that are still right.
    """
    test, path = study.tests[name], folder / _file(study, name)
    if not path.is_file():
        return None
    known = Scores.from_json(path)
    if not set(study.metrics or DEFAULT) <= set(known.metrics):
        return None
    if test.noisy is not None and known.metadata.get("data") != f"{test.noisy}, {test.clean}":
        return None
    if not (marks or {}).items() <= known.metadata.items():
        return None
    checkpoint = chosen(folder)
    if checkpoint.is_file() and not are_of(known, checkpoint):
        return None
    return known


def printed(rows: Mapping[str, str], test: ScoredSet, cells: Iterable[StudyCell]) -> dict[StudyCell, PaperRow]:
    """The rows that the paper prints for a test set, beside the cells that stand for them.

    Args:
        rows: of the paper, by ``SCENARIO/METHOD``, or a method or teacher by its name alone.
        test: which table has them.
        cells: of the study.
    """
    if test.paper is None:
        return {}
    known = {row.name: row for row in results(test.paper)}
    beside = {}
    for cell in cells:
        name = rows.get("/".join(cell), rows.get(cell.method, ""))
        if name in known:
            beside[cell] = known[name]
    return beside


def _references(study: Study, test: ScoredSet, runs: Sequence[StudyRun]) -> list[Judged]:
    """The noisy input and the teachers: once, or once in each scenario where the scenarios have data of their own."""
    folder = Path(study.out) / "references"
    recipes: dict[str, list[Recipe]] = {}
    for one in runs:
        recipes.setdefault(one.cell.scenario, []).append(one.recipe)
    first = [own[0].to_mapping()["data"] for own in recipes.values()]
    if test.noisy is not None or all(data == first[0] for data in first):
        return _judged("", [one.recipe for one in runs], folder)
    judged = []
    for scenario, own in recipes.items():
        judged += _judged(scenario, own, folder / slug(scenario))
    return judged


def _judged(scenario: str, recipes: Sequence[Recipe], folder: Path) -> list[Judged]:
    """The noisy input and the teachers of some recipes, on the test set of the first."""
    judged = [Judged(StudyCell(scenario, NOISY), NOISY, recipes[0], folder / NOISY)]
    for cell, source in teachers(recipes).items():
        judged.append(Judged(StudyCell(scenario, cell.method), source, recipes[0], folder / slug(whole_name(source))))
    return judged


def _score(study: Study, name: str, judged: Judged, progress: Progress | None) -> Scores:
    """The scores of a model on the test set called ``name``, measured if its folder lacks them."""
    _, model, recipe, folder = judged
    path = folder / _file(study, name)
    test = study.tests[name]
    marks: dict[str, Any] = {}
    if test.noisy is None and (isinstance(model, ModelSource) or model == NOISY):
        # No run's folder keeps a reference to the data, so what its test set was made of stands beside its scores.
        marks = {"recipe_data": recipe.to_mapping()["data"]}
    known = scored(study, name, folder, marks)
    if known is not None:
        outdated = isinstance(model, ModelSource) and _newer(model, path)
        if not outdated:
            return known
    if test.noisy is None or test.clean is None:
        scores = run.evaluate(model, recipe=recipe, metrics=study.metrics, progress=progress)
    else:
        scores = run.evaluate(model, (test.noisy, test.clean), metrics=study.metrics, progress=progress)
    scores.metadata |= marks
    scores.to_json(path)
    scores.to_csv(path.with_suffix(".csv"))
    return scores


def _newer(model: ModelSource, scores: Path) -> bool:
    """Whether the file of a teacher was written after its scores; those that ship never change."""
    if model.kind == "mean":
        return any(_newer(member, scores) for member in model.value)
    if model.kind == "shipped" or model.path is None or not model.path.is_file():
        return False
    return model.path.stat().st_mtime > scores.stat().st_mtime


def _file(study: Study, name: str) -> str:
    return SCORES if study.tests[name].noisy is None else f"scores-{slug(name)}.json"


def _network_sizes(runs: Sequence[StudyRun]) -> dict[StudyCell, NetworkSize]:
    """Count the sizes of the runs' networks, each once."""
    counted: dict[str, NetworkSize] = {}
    for one in runs:
        network = repr(one.recipe.model)
        if network not in counted:
            counted[network] = _size(build_network(one.recipe.model))
    return {one.cell: counted[repr(one.recipe.model)] for one in runs}


def _teacher_sizes(references: Iterable[Judged]) -> dict[StudyCell, NetworkSize]:
    """Count the sizes of the teachers whose files still exist."""
    sizes = {}
    for cell, source, *_ in references:
        if not isinstance(source, ModelSource) or source.kind not in ("shipped", "checkpoint"):
            continue
        if source.checkpoint.is_file():
            sizes[cell] = _size(models.load(source.checkpoint))
    return sizes


def _size(network: models.Enhancer) -> NetworkSize:
    return NetworkSize(models.count_parameters(network), paper_flops(network))
