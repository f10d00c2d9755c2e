"""``sordino bench``: the cost of one network, or of all whose recipes ship."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from sordino.cli.base import TRUST, Answer, Command, flag
from sordino.cli.measure import MODEL_RATE, STYLE
from sordino.cli.progress import Display
from sordino.errors import InputError, needs_training_tier

if TYPE_CHECKING:
    from sordino.evaluation.efficiency import Cost


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
    if given.model_rate is not None:
        raise InputError("--model-rate", "is for one model", "a model that does not say its own", "leave it out")
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


BENCH = Command(
    bench,
    (
        flag(
            "model",
            nargs="?",
            help="a recipe, a checkpoint, an ONNX file, a shipped model's name, PRESET:FILE, a model card, "
            "module:function",
        ),
        flag("--all", action="store_true", help="all networks of the shipped recipes, as a table"),
        flag("--counts", action="store_true", help="count only, without speed and memory"),
        flag("--seconds", type=float, default=4.0, help="length of the audio in one pass (default 4)"),
        flag("--repeats", type=int, default=5, help="number of timed passes (default 5)"),
        flag("--threads", type=int, default=1, help="number of threads (default 1)"),
        MODEL_RATE,
        STYLE,
        TRUST,
    ),
    "Measure the cost of a network: FLOPs as the paper counts them, all multiply-accumulates, speed and memory.",
    lambda: "examples:\n  sordino bench valentini/manner-s-1.5gf\n  sordino bench --all --counts --style markdown",
)
