"""What a study found: its runs, the noisy input and the teachers on every test set, and the paper's figures beside.

What is not scored yet is scored here, but for what runs scored themselves when they were trained: scores lie in the
folder of a run, and those of the noisy input and the teachers in ``references/``. Those of the recipe's own test set
are ``scores.json``, those of a further one ``scores-NAME.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sordino import models
from sordino.evaluation.cost import paper_flops
from sordino.evaluation.score import Scores
from sordino.experiments import run
from sordino.experiments.recipe import RECIPE
from sordino.experiments.run import NOISY, SCORES
from sordino.files import slug, write_json, write_text
from sordino.inference.resolve import resolve
from sordino.metrics import DEFAULT
from sordino.report.pages.study import write_study
from sordino.report.paper import PaperRow, results
from sordino.report.studies import Cell, Line, Size, lines, table
from sordino.training.log import read_log
from sordino.training.state import chosen
from sordino.types import Progress

if TYPE_CHECKING:
    from sordino.experiments.study import Run, Study

STYLES = {"md": "markdown", "tex": "latex", "csv": "csv"}
VALID = "valid/pesq_wb"

Findings = dict[str, list[Line]]
"""Test set to what was found on it."""


@dataclass(frozen=True)
class TestSet:
    """Pairs that runs are scored on.

    Args:
        noisy: folder of noisy recordings; none for the recipe's own test set.
        clean: folder of their clean partners.
        paper: the table of the MV-AT paper that has figures for it.
    """

    noisy: str | None = None
    clean: str | None = None
    paper: int | None = None


def summary(study: Study, runs: Sequence[Run], progress: Progress | None = None) -> tuple[Findings, str]:
    """Sum up the runs that are done, the noisy input and the teachers above them, and write it in every style.

    Returns:
        The lines of the table of each test set, and the tables as text.
    """
    out, known, recipe = Path(study.out), teachers(runs), runs[0].folder / RECIPE
    places = [(Cell("", NOISY), NOISY), *known.items()]
    judged = [(cell, model, out / "references" / slug(model)) for cell, model in places]
    judged += [(one.cell, chosen(one.folder), one.folder) for one in runs]
    sizes, found, synthetic = _sizes(runs, known), {}, False
    for name, test in study.tests.items():
        scores: dict[Cell, list[Scores]] = {}
        for cell, model, folder in judged:
            scores.setdefault(cell, []).append(_score(study, name, model, recipe, folder, progress))
        found[name] = lines(scores, study.against, sizes, printed(study.paper, test, scores))
        synthetic |= any(one.metadata.get("synthetic") for several in scores.values() for one in several)
    curves: dict[Cell, list[list[tuple[int, float]]]] = {}
    for one in runs:
        points = [(record["step"], record[VALID]) for record in read_log(one.folder) if VALID in record]
        curves.setdefault(one.cell, []).append(points)
    for suffix, style in STYLES.items():
        write_text(out / f"table.{suffix}", table(found, style, study.against, synthetic, study.note))  # pyright: ignore[reportArgumentType]
    tests = {name: [asdict(line) for line in own] for name, own in found.items()}
    write_json(out / "study.json", {"study": asdict(study), "tests": tests})
    write_study(out, study.title or out.name, found, study.against, synthetic, curves, study.note)
    return found, table(found, "text", study.against, synthetic, study.note)


def teachers(runs: Sequence[Run]) -> dict[Cell, str]:
    """What each teacher of the runs is called in the tables, and its file."""
    found: dict[Cell, str] = {}
    sections = (one.recipe.get("teacher", {}) for one in runs)
    named = (section.get(kind) for section in sections for kind in ("checkpoint", "estimate"))
    for checkpoint in dict.fromkeys(name for name in named if name is not None):
        # The folder of its run says more than "best"; a student that ships has its name alone.
        cell = Cell("", f"{Path(checkpoint).parent.name or checkpoint} (teacher)")
        if cell in found:  # another teacher is in a folder of the same name
            cell = Cell("", f"{Path(checkpoint).parent} (teacher)")
        found[cell] = checkpoint
    return found


def scored(study: Study, name: str, folder: Path) -> Scores | None:
    """The scores in ``folder`` on the test set called ``name``, if they are by all metrics and on the same folders."""
    test, path = study.tests[name], folder / _file(study, name)
    known = Scores.from_json(path) if path.is_file() else None
    if known is None or not set(study.metrics or DEFAULT) <= set(known.metrics):
        return None
    moved = test.noisy is not None and known.metadata.get("data") != f"{test.noisy}, {test.clean}"
    return None if moved else known


def printed(rows: Mapping[str, str], test: TestSet, cells: Iterable[Cell]) -> dict[Cell, PaperRow]:
    """The rows that the paper prints for a test set, beside the cells that stand for them.

    Args:
        rows: of the paper, by ``SCENARIO/METHOD``, or a method or teacher by its name alone.
        test: which table has them.
        cells: of the study.
    """
    known = {} if test.paper is None else {row.name: row for row in results(test.paper)}
    named = {cell: rows.get("/".join(cell), rows.get(cell.method, "")) for cell in cells}
    return {cell: known[name] for cell, name in named.items() if name in known}


def _score(study: Study, name: str, model: str | Path, recipe: Path, folder: Path, progress: Progress | None) -> Scores:
    """The scores of a model on the test set called ``name``, measured if ``folder`` lacks them."""
    known = scored(study, name, folder)
    if known is not None:
        return known
    test = study.tests[name]
    if test.noisy is None or test.clean is None:
        scores = run.evaluate(model, recipe=recipe, metrics=study.metrics, progress=progress)
    else:
        scores = run.evaluate(model, (test.noisy, test.clean), metrics=study.metrics, progress=progress)
    path = folder / _file(study, name)
    scores.to_json(path)
    scores.to_csv(path.with_suffix(".csv"))
    return scores


def _file(study: Study, name: str) -> str:
    return SCORES if study.tests[name].noisy is None else f"scores-{slug(name)}.json"


def _sizes(runs: Sequence[Run], teachers: Mapping[Cell, str]) -> dict[Cell, Size]:
    """Of the runs' networks, each counted once, and of the teachers whose files are still there."""
    counted: dict[str, Size] = {}
    for one in runs:
        if repr(one.recipe["model"]) not in counted:
            counted[repr(one.recipe["model"])] = _size(models.build(one.recipe["model"]))
    sources = {cell: resolve(name, otherwise="checkpoint") for cell, name in teachers.items()}
    files = {cell: source.checkpoint for cell, source in sources.items() if source.kind in ("shipped", "checkpoint")}
    sizes = {cell: _size(models.load(path)) for cell, path in files.items() if path.is_file()}
    return sizes | {one.cell: counted[repr(one.recipe["model"])] for one in runs}


def _size(network: models.Enhancer) -> Size:
    return Size(models.count_parameters(network), paper_flops(network))
