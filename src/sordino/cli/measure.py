"""``sordino evaluate`` and ``report``: scores, and comparisons of models."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sordino.cli.base import TRUST, Answer, Command, flag
from sordino.cli.progress import Display, say
from sordino.errors import InputError, Unsaved, needs_training_tier

if TYPE_CHECKING:
    from sordino.evaluation.score import Scores
    from sordino.report.paper import PaperRow
    from sordino.report.runs import RunRow
    from sordino.report.table import Style


EXAMPLES = 3
"""Recordings on a page."""

MODEL_RATE = flag("--model-rate", type=int, help="Hz of a model that does not state its rate (default 16000)")

INTERVALS = flag("--intervals", action="store_true", help="with several models: add the 95 %% interval to each mean")

AGAINST = flag("--against", metavar="MODEL", help="with several models: add how far the others are above this one")

STYLE = flag("--style", choices=("text", "markdown", "latex", "csv"), default="text", help="format of the table")


@contextmanager
def _shown_if_unsaved(text: Callable[[Any], str]) -> Iterator[None]:
    """Context manager: figures that cannot be written are at least on the terminal, before the error.

    Args:
        text: writes what was computed.
    """
    try:
        yield
    except Unsaved as error:
        say(text(error.result))
        raise


def evaluate(given: Namespace) -> Answer:
    needs_training_tier()
    from sordino.experiments import run
    from sordino.metrics.dnsmos import FILE

    if given.data and len(given.data) > 2:
        raise InputError("--data", f"{len(given.data)} folders", "NOISY CLEAN, or NOISY alone")
    if given.data and given.recipe:
        raise InputError("evaluate", "both --data and --recipe", "one of them, as either names the recordings")
    if given.data and given.split:
        raise InputError("--split", "is for the data of a recipe", "--recipe", "leave it out")
    if given.examples is not None and not given.page:
        raise InputError("--examples", "no page to show them on", "--page FILE", "leave it out")
    if given.dnsmos and not Path(given.dnsmos).is_file():
        raise InputError("--dnsmos", f"there is no file {given.dnsmos}", hint="check the path")
    if not given.data:
        folders = None
    elif len(given.data) == 1:
        folders = given.data[0]
    else:
        folders = tuple(given.data)
    if given.dnsmos:
        os.environ[FILE] = given.dnsmos  # the processes that measure inherit it
    if len(given.model) > 1 or given.page or given.against:
        return _side_by_side(given, folders)
    if given.intervals:
        raise InputError("--intervals", "is for several models", hint="leave it out: the table of one has intervals")
    with _shown_if_unsaved(_scored), Display() as show:
        scores = run.evaluate(
            given.model[0],
            folders,
            given.recipe,
            given.split or "test",
            given.metrics,
            given.out,
            given.workers,
            show,
            given.align,
            given.sample_rate,
            given.model_rate,
        )
    return {"means": scores.means(), **scores.as_json()}, _scored(scores, given.style)


def _scored(scores: Scores, style: Style = "text") -> str:
    """The scores of one model: the table, and in text every metric that has no value for a file."""
    from sordino.report.scores import score_table

    failures = [f"{one.id}: no {one.metric}: {one.reason}" for one in scores.failures]
    table = score_table(scores).write(style)
    return table.rstrip() if style == "csv" else "\n".join([table, *failures]).rstrip()


def _side_by_side(given: Namespace, folders: tuple[str, str] | str | None) -> Answer:
    """Score several models on the same recordings, as one table."""
    from sordino.evaluation.score import Scores
    from sordino.experiments.side_by_side import side_by_side

    def table(done: Scores | list[RunRow]) -> str:
        return _scored(done) if isinstance(done, Scores) else _tables(done, (), given)

    with _shown_if_unsaved(table), Display() as show:
        rows = side_by_side(
            given.model,
            folders,
            given.recipe,
            out=given.out,
            page=given.page,
            examples=EXAMPLES if given.examples is None else given.examples,
            model_rate=given.model_rate,
            against=given.against,
            progress=show,
            split=given.split or "test",
            metrics=given.metrics,
            workers=given.workers,
            align=given.align,
            sample_rate=given.sample_rate,
        )
    return {"rows": [row.as_json() for row in rows]}, table(rows)


def report(given: Namespace) -> Answer:
    needs_training_tier()
    if given.examples is not None and not given.output:
        raise InputError("--examples", "no page to show them on", "--output FILE", "leave it out")
    from sordino.evaluation.score import Scores
    from sordino.experiments.compare import compare

    def table(done: Scores | tuple[list[RunRow], list[PaperRow]]) -> str:
        return _scored(done) if isinstance(done, Scores) else _tables(*done, given)

    with _shown_if_unsaved(table), Display() as show:
        examples = EXAMPLES if given.examples is None else given.examples
        rows, published = compare(given.runs, given.output, given.paper, examples, show, against=given.against)
    value = {"rows": [row.as_json() for row in rows], "paper": [row._asdict() for row in published]}
    return value, table((rows, published))


def _tables(rows: Sequence[RunRow], paper: Sequence[PaperRow], given: Namespace) -> str:
    """The table of models, and below it that of their differences, if asked for; CSV is one table, which has both."""
    from sordino.report.differences import difference_table
    from sordino.report.runs import run_table
    from sordino.report.table import write_tables

    tables = [run_table(rows, paper, given.intervals)]
    if given.against and given.style != "csv" and any(row.differences for row in rows):
        tables.append(difference_table(rows))
    return write_tables(tables, given.style)


EVALUATE = Command(
    evaluate,
    (
        flag(
            "model",
            nargs="+",
            help="a checkpoint, an ONNX file, a shipped model's name, PRESET:FILE, a model card, module:function, or "
            "noisy for the unprocessed input; several give one table, with size and speed",
        ),
        flag("--data", nargs="+", metavar="FOLDER", help="NOISY CLEAN, paired by file name; NOISY alone for dnsmos"),
        flag("--recipe", help="score on this recipe's data; a checkpoint's own recipe by default"),
        flag("--split", choices=("test", "valid"), help="which recordings of the recipe's data (default test)"),
        flag("--metrics", nargs="+", help="names of metrics; the paper's, ESTOI and SI-SDR by default"),
        flag("--dnsmos", metavar="FILE", help="network file of the metric dnsmos, if speechmos is not installed"),
        flag("-o", "--out", help="folder for scores.json and scores.csv; a checkpoint's own run by default"),
        flag("--workers", type=int, help="processes that compute the metrics; one per core by default"),
        flag(
            "--align",
            choices=("exact", "shorter", "lag"),
            default="exact",
            help="shorter cuts clean and estimate to one length; lag first shifts the estimate by its measured lag",
        ),
        flag("--sample-rate", type=int, help="Hz at which --data is read (default 16000)"),
        flag("--page", help="HTML page with the table of several models, and recordings to play"),
        flag("--examples", type=int, help=f"recordings to play on the page (default {EXAMPLES})"),
        INTERVALS,
        AGAINST,
        MODEL_RATE,
        TRUST,
        STYLE,
    ),
    "Enhance a test set and score the result: one model with 95 % intervals, or several in one table.",
    lambda: (
        "examples:\n  sordino evaluate runs/student/best.safetensors\n  sordino evaluate noisy --data noisy/ clean/\n"
        "  sordino evaluate noisy --data noisy/ --metrics dnsmos\n"
        "  sordino evaluate noisy unet-24 gtcrn:gtcrn_simple.onnx --data noisy/ clean/ --page models.html\n"
        "  sordino evaluate other.onnx --recipe runs/student/recipe.yaml --out scores/other"
    ),
)

REPORT = Command(
    report,
    (
        flag("runs", nargs="+", help="folders of runs, folders of scores from sordino evaluate --out, or models"),
        flag("-o", "--output", help="HTML page to write, with curves, spectrograms and sound"),
        flag("--paper", action="store_true", help="add the published figures that the recipes name"),
        STYLE,
        INTERVALS,
        AGAINST,
        flag("--examples", type=int, help=f"recordings on the page (default {EXAMPLES})"),
        TRUST,
    ),
    "Compare runs on one test set, with the noisy input first. Runs without scores are scored first.",
    lambda: "example:\n  sordino report runs/baseline runs/mvat -o report.html --paper",
)
