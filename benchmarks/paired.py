"""What the benchmarks share: the cases, two formulations measured in turn, and the report."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from eager_manner import eager

from sordino import models
from sordino.evaluation.speed import peak_of
from sordino.files import write_text
from sordino.json_files import write_json
from sordino.models.manner import Manner
from sordino.report.table import Table
from sordino.version import commit

MEGA = 2**20
TOLERANCE = 1e-4
HEADER = ["Network", "Batch", "Ours", "Eager", "Faster", "Ours, peak", "Eager, peak", "Smaller"]


@dataclass(frozen=True)
class Case:
    """A network and the batch that it is given."""

    model: str
    hidden: int
    depth: int
    seconds: float
    batch: int

    def network(self, formulation: str) -> Manner:
        """The network in one formulation, ``ours`` or ``eager``; both have the same weights."""
        torch.manual_seed(0)
        ours = cast(Manner, models.create(self.model, hidden=self.hidden, depth=self.depth))
        return ours if formulation == "ours" else eager(ours)

    def noisy(self, seconds: float | None = None) -> torch.Tensor:
        """[B,T] of noise; ``seconds`` overrules the case's own."""
        samples = round((seconds or self.seconds) * models.Enhancer.sample_rate)
        return 0.1 * torch.randn(self.batch, samples, generator=torch.Generator().manual_seed(1))


CASES = {
    "S12/3": Case("manner-s", 12, 3, 4.0, 4),
    "S30/3": Case("manner-s", 30, 3, 4.0, 4),
    "B60/4": Case("manner-b", 60, 4, 4.0, 1),
    "B60/4-10s": Case("manner-b", 60, 4, 10.0, 1),
}

Prepare = Callable[[Case, str, int], Callable[[], object]]
"""(case, formulation, threads) -> the work to be measured, warmed up."""


@dataclass(frozen=True)
class Row:
    """One case, both formulations; ``faster`` and ``smaller`` are eager / ours."""

    case: str
    seconds: float
    batch: int
    ours_s: float
    eager_s: float
    faster: float
    ours_mb: float
    eager_mb: float
    smaller: float


def main(prepare: Prepare, description: str) -> None:
    """Read the command line, measure the chosen cases, show the table and write it where asked."""
    arguments = _arguments(description)
    torch.set_num_threads(arguments.threads)
    rows = []
    for name in arguments.cases:
        changes = {"seconds": arguments.seconds, "batch": arguments.batch}
        case = replace(CASES[name], **{key: value for key, value in changes.items() if value is not None})
        _same_output(case)
        rows.append(_measure(name, case, prepare, arguments.repeats, arguments.threads))
        print(*_entries(rows[-1]), sep="  ", flush=True)
    facts = machine(arguments.threads)
    title = description.partition("\n")[0]
    table = Table.of(HEADER, [_entries(row) for row in rows], [f"{facts} Medians of {arguments.repeats} pairs."])
    text = f"# {title}\n\n{table.to_markdown()}"
    print(f"\n{text}", end="")
    for path in arguments.out:
        if path.suffix == ".json":
            write_json(path, {"title": title, "machine": facts, "rows": [asdict(row) for row in rows]})
        else:
            write_text(path, text)


def _arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="which; all by default")
    parser.add_argument("--seconds", type=float, help="length of the signals, instead of each case's own")
    parser.add_argument("--batch", type=int, help="signals per batch, instead of each case's own")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of measurements (default 7)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--out", type=Path, nargs="+", default=[], help="write the report there: .md or .json, or both")
    return parser.parse_args()


def _same_output(case: Case) -> None:
    """Stop unless both formulations give the same output, in training and in eval mode."""
    noisy = case.noisy(1.0)
    for training in (True, False):
        with torch.no_grad():
            ours, plain = (case.network(kind).train(training)(noisy) for kind in ("ours", "eager"))
        difference = float((ours - plain).abs().max())
        if not difference < TOLERANCE:
            raise SystemExit(f"{case}: the two formulations differ by {difference:g}; there is nothing to compare")


def _measure(name: str, case: Case, prepare: Prepare, repeats: int, threads: int) -> Row:
    ours_mb, eager_mb = (peak_of(partial(prepare, case, kind, threads)) / MEGA for kind in ("ours", "eager"))
    works = [prepare(case, kind, threads) for kind in ("ours", "eager")]
    times = alternate(works, repeats)
    ratio = median(plain / ours for ours, plain in times)
    ours, plain = (median(column) for column in zip(*times, strict=True))
    return Row(name, case.seconds, case.batch, ours, plain, ratio, ours_mb, eager_mb, eager_mb / ours_mb)


def alternate(
    works: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], Any] = time.perf_counter
) -> list[list[Any]]:
    """Time all works once per round, each round in the reverse order of the last, so that a drift favours none.

    Returns:
        For each round the difference of two readings of ``clock`` for each work.
    """
    for work in works:
        work()
    rounds = []
    for index in range(repeats):
        order = range(len(works)) if index % 2 == 0 else reversed(range(len(works)))
        taken = dict.fromkeys(range(len(works)))
        for which in order:
            started = clock()
            works[which]()
            taken[which] = clock() - started
        rounds.append(list(taken.values()))
    return rounds


def _entries(row: Row) -> list[str]:
    """The entries of a row of the table."""
    times = [f"{1000 * row.ours_s:.0f} ms", f"{1000 * row.eager_s:.0f} ms", f"{row.faster:.2f} x"]
    memory = [f"{row.ours_mb:.0f} MB", f"{row.eager_mb:.0f} MB", f"{row.smaller:.2f} x"]
    return [row.case.partition("-")[0], f"{row.batch} x {row.seconds:g} s", *times, *memory]


def machine(threads: int | None = None) -> str:
    """The machine and the state of the project in one line, for a report."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    used = "" if threads is None else f", {threads} used"
    return f"{model}, {os.cpu_count()} cores{used}; torch {torch.__version__}; commit {commit() or 'unknown'}."
