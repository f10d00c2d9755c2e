"""``sordino evaluate``, ``bench`` and ``report``: figures, and models side by side."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sordino.cli.base import TRUST, Answer, Command, flag
from sordino.cli.progress import Display, say
from sordino.errors import InputError, Unsaved, needs_training_tier

if TYPE_CHECKING:
    from sordino.evaluation.efficiency import Cost
    from sordino.evaluation.score import Scores
    from sordino.report.paper import PaperRow
    from sordino.report.runs import RunRow
    from sordino.report.table import Style


MODEL_RATE = flag("--model-rate", type=int, help="Hz of a model that does not say its own (default 16000)")

STYLE = flag("--style", choices=("text", "markdown", "latex", "csv"), default="text", help="of the table")


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
    if not given.data:
        folders = None
    elif len(given.data) == 1:
        folders = given.data[0]
    else:
        folders = tuple(given.data)
    if given.dnsmos:
        os.environ[FILE] = given.dnsmos  # the processes that measure inherit it
    if len(given.model) > 1 or given.page:
        return _side_by_side(given, folders)
    with _shown_if_unsaved(_scored), Display() as show:
        scores = run.evaluate(
            given.model[0],
            folders,
            given.recipe,
            given.split,
            given.metrics,
            given.out,
            given.workers,
            show,
            given.align,
            given.sample_rate,
            given.model_rate,
        )
    value = {"metadata": scores.metadata, "means": scores.means(), "rows": scores.rows}
    value["failures"] = [asdict(one) for one in scores.failures]
    return value, _scored(scores, given.style)


def _scored(scores: Scores, style: Style = "text") -> str:
    """The scores of one model: the table, and for people every metric that has no value for a file."""
    from sordino.report.scores import score_table

    failures = [f"{one.id}: no {one.metric}: {one.reason}" for one in scores.failures]
    table = score_table(scores).write(style)
    return table.rstrip() if style == "csv" else "\n".join([table, *failures]).rstrip()


def _side_by_side(given: Namespace, folders: tuple[str, str] | str | None) -> Answer:
    """Score several models on the same recordings, as one table."""
    from sordino.evaluation.score import Scores
    from sordino.experiments.side_by_side import side_by_side
    from sordino.report.runs import run_table

    def table(done: Scores | list[RunRow]) -> str:
        return _scored(done) if isinstance(done, Scores) else run_table(done).write(given.style)

    with _shown_if_unsaved(table), Display() as show:
        rows = side_by_side(
            given.model,
            folders,
            given.recipe,
            out=given.out,
            page=given.page,
            examples=given.examples,
            model_rate=given.model_rate,
            progress=show,
            split=given.split,
            metrics=given.metrics,
            workers=given.workers,
            align=given.align,
            sample_rate=given.sample_rate,
        )
    return {"rows": [row.as_json() for row in rows]}, table(rows)


def bench(given: Namespace) -> Answer:
    needs_training_tier()
    from sordino.experiments import bench as benchmark
    from sordino.report.costs import cost_table

    if (given.model is None) != given.all:
        found = "both a model and --all" if given.all else "no model"
        raise InputError("bench", found, "MODEL, or --all")
    if not given.all:
        if given.style != "text":
            raise InputError("--style", f"{given.style} for one model", "--all, whose table has styles")
        cost = benchmark.bench(
            given.model, given.seconds, given.repeats, given.threads, not given.counts, given.model_rate
        )
        return asdict(cost), _costs(cost)
    with Display() as show:
        rows = benchmark.bench_all(given.seconds, given.repeats, given.threads, not given.counts, show)
    table = cost_table(rows, given.seconds)
    return {"models": [row.as_json() for row in rows], "notes": table.notes}, table.write(given.style)


def _costs(cost: Cost) -> str:
    """Write the costs of one model, one figure per line: unknown ones say so, those not measured are left out."""

    def show(value: float | None, unit: float, form: str) -> str:
        return "unknown" if value is None else form.format(value / unit)

    lines = [
        cost.name if cost.arguments is None else f"{cost.name} {cost.arguments}",
        f"parameters               {show(cost.parameters, 1, '{:,.0f}')}",
        f"FLOPs, paper (4 s)       {show(cost.flops_paper, 1e9, '{:.2f} G')}",
        f"multiply-accumulates     {show(cost.macs_per_second, 1e9, '{:.3f} G per second of audio')}",
    ]
    if cost.file_bytes is not None:
        lines.append(f"file                     {cost.file_bytes / 1e6:.2f} MB")
    if cost.speed is not None:
        speed = cost.speed
        spread = f"({speed.fastest:.4f} to {speed.slowest:.4f}), {speed.threads} thread(s)"
        lines.append(f"real-time factor         {speed.median:.4f} {spread}")
    if cost.speed is not None and cost.peak_memory_bytes is not None:
        lines.append(f"peak memory              {cost.peak_memory_bytes / 2**20:.0f} MiB for {cost.speed.seconds:g} s")
    return "\n".join(lines)


def report(given: Namespace) -> Answer:
    needs_training_tier()
    from sordino.evaluation.score import Scores
    from sordino.experiments.compare import compare
    from sordino.report.runs import run_table

    def table(done: Scores | tuple[list[RunRow], list[PaperRow]]) -> str:
        return _scored(done) if isinstance(done, Scores) else run_table(*done, given.intervals).write(given.style)

    with _shown_if_unsaved(table), Display() as show:
        rows, published = compare(given.runs, given.output, given.paper, given.examples, show)
    value = {"rows": [row.as_json() for row in rows], "paper": [row._asdict() for row in published]}
    return value, table((rows, published))


EVALUATE = Command(
    evaluate,
    (
        flag(
            "model",
            nargs="+",
            help="a checkpoint, an ONNX file, a shipped model's name, PRESET:FILE, a model card, module:function, or "
            "noisy: the input; several are one table, with size and speed",
        ),
        flag("--data", nargs="+", metavar="FOLDER", help="NOISY CLEAN, paired by name; NOISY alone for dnsmos"),
        flag("--recipe", help="score on this recipe's data; a checkpoint's own recipe by default"),
        flag("--split", choices=("test", "valid"), default="test", help="which recordings of the recipe's data"),
        flag("--metrics", nargs="+", help="names of metrics; the paper's, ESTOI and SI-SDR by default"),
        flag("--dnsmos", metavar="FILE", help="network of the metric dnsmos, unless speechmos is installed"),
        flag("-o", "--out", help="folder for scores.json and scores.csv; a checkpoint's own run by default"),
        flag("--workers", type=int, help="processes that compute the metrics; one per core by default"),
        flag(
            "--align",
            choices=("exact", "shorter", "lag"),
            default="exact",
            help="shorter cuts both to the shorter one; lag first shifts the estimate by its measured lag",
        ),
        flag("--sample-rate", type=int, help="Hz to read --data at (default 16000)"),
        flag("--page", help="HTML page with the table of several models, and recordings to play"),
        flag("--examples", type=int, default=3, help="recordings to play on the page (default 3)"),
        MODEL_RATE,
        TRUST,
        STYLE,
    ),
    "Enhance a test set and score it, with a row per file, means and 95 % intervals.",
    lambda: (
        "examples:\n  sordino evaluate runs/student/best.safetensors\n  sordino evaluate noisy --data noisy/ clean/\n"
        "  sordino evaluate noisy --data noisy/ --metrics dnsmos\n"
        "  sordino evaluate noisy unet-24 gtcrn:gtcrn_simple.onnx --data noisy/ clean/ --page models.html\n"
        "  sordino evaluate other.onnx --recipe runs/student/recipe.yaml --out scores/other"
    ),
)

BENCH = Command(
    bench,
    (
        flag(
            "model",
            nargs="?",
            help="a recipe, a checkpoint, an ONNX file, a shipped model's name, PRESET:FILE, a model card, "
            "module:function",
        ),
        flag("--all", action="store_true", help="every network of the recipes that ship, as a table"),
        flag("--counts", action="store_true", help="count only, without speed and memory"),
        flag("--seconds", type=float, default=4.0, help="length of the audio in one pass (default 4)"),
        flag("--repeats", type=int, default=5, help="number of timed passes (default 5)"),
        flag("--threads", type=int, default=1, help="threads that compute (default 1)"),
        MODEL_RATE,
        STYLE,
        TRUST,
    ),
    "Measure the cost of a network: FLOPs as the paper counts them, all multiply-accumulates, speed and memory.",
    lambda: "examples:\n  sordino bench valentini/manner-s-1.5gf\n  sordino bench --all --counts --style markdown",
)

REPORT = Command(
    report,
    (
        flag("runs", nargs="+", help="folders of runs, or of scores from sordino evaluate --out; and models"),
        flag("-o", "--output", help="write an HTML page with curves, spectrograms and sound"),
        flag("--paper", action="store_true", help="add the published figures that the recipes name"),
        STYLE,
        flag("--intervals", action="store_true", help="add the 95 %% interval behind each mean"),
        flag("--examples", type=int, default=3, help="recordings on the page (default 3)"),
        TRUST,
    ),
    "Compare runs on one test set, the noisy input first. Runs without scores are scored on the way.",
    lambda: "example:\n  sordino report runs/baseline runs/mvat -o report.html --paper",
)
