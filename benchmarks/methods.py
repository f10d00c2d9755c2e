"""One training step with each distillation method, beside the same step without a teacher.

A step is the student's forward pass, the compressed-spectrum loss, the teacher's pass and the method's term, the
backward pass and Adam. ``teacher`` is a method that listens to the teacher and compares nothing, so what a method
itself costs is what it takes beyond that. These three run in turn, so that whatever else the machine does meets all of
them: ratios and differences hold between rows, times less so. The memory is the rise of a fresh process's resident set
over that of both networks and Adam's state.

    python benchmarks/methods.py --repeats 5 --out benchmarks/results/methods.md
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from paired import MEGA, alternate, machine

from sordino import models
from sordino.distill.base import Method
from sordino.distill.methods import METHODS
from sordino.distill.teachers import Teacher
from sordino.errors import InputError
from sordino.evaluation.speed import peak_of
from sordino.files import write_text
from sordino.losses import Compressed
from sordino.report.table import Table
from sordino.training import Objective
from sordino.types import Batch, View

WARM_UP_S = 0.25
PLAIN, LISTEN = "none", "teacher"
HEADER = [
    *("Method", "Step", "of the plain step", "beyond the teacher's pass"),
    *("Peak", "beyond the plain step", "Learnt"),
]
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "unet": ({"name": "unet", "width": 64}, {"name": "unet", "width": 16}),
    "manner": ({"name": "manner-b", "hidden": 12, "depth": 4}, {"name": "manner-s", "hidden": 12, "depth": 3}),
}
"""Teacher and student."""


class Listen(Method):
    """Runs the teacher and compares nothing."""

    def forward(self, student: View, teacher: View, batch: Batch) -> torch.Tensor:
        return student.wave.new_zeros(())


@dataclass(frozen=True)
class Case:
    """A pair of networks and the size of the batches."""

    pair: str
    batch: int
    seconds: float
    threads: int

    def batch_of(self, seconds: float) -> Batch:
        """Noise, of which half stands for clean speech."""
        samples = round(seconds * models.Enhancer.sample_rate)
        noisy = 0.1 * torch.randn(self.batch, samples, generator=torch.Generator().manual_seed(1))
        return Batch(noisy, 0.5 * noisy, torch.full((self.batch,), samples))


@dataclass(frozen=True)
class Row:
    """A method: time of a step, its ratio to the plain step, what is beyond the teacher's pass; memory; parameters."""

    name: str
    step_s: float
    ratio: float
    own_s: float
    peak_mb: float
    learnt: int


def objective(case: Case, name: str) -> tuple[models.Enhancer, Objective]:
    """A student and what it minimises with the method ``name``; an InputError where the pair has no features for it."""
    torch.manual_seed(0)
    teacher, student = (models.create(**arguments) for arguments in PAIRS[case.pair])
    catalogue: Mapping[str, Callable[[], Method]] = METHODS | {LISTEN: Listen}
    methods = {} if name == PLAIN else {name: catalogue[name]()}
    made = Objective({"compressed": Compressed()}, methods, student, Teacher(teacher) if methods else None)
    made.prepare(student, case.batch_of(WARM_UP_S))
    return student.train(), made


def prepare(case: Case, name: str) -> Callable[[], object]:
    """A training step, ready to run."""
    torch.set_num_threads(case.threads)
    student, made = objective(case, name)
    optimizer = torch.optim.Adam([*student.parameters(), *made.parameters()], lr=1e-4)

    def work(batch: Batch) -> None:
        optimizer.zero_grad()
        made(student, batch)[0].backward()
        optimizer.step()

    work(case.batch_of(WARM_UP_S))
    return partial(work, case.batch_of(case.seconds))


def measure(case: Case, names: Sequence[str], repeats: int) -> list[Row]:
    """All methods that apply to the pair, under the plain step and the teacher's pass alone."""
    learnt: dict[str, int] = {}
    for name in (PLAIN, LISTEN, *names):
        try:
            learnt[name] = sum(parameter.numel() for parameter in objective(case, name)[1].parameters())
        except InputError as error:
            print(f"{case.pair}: left out {error}", flush=True)
    peaks = {name: peak_of(partial(prepare, case, name)) / MEGA for name in learnt}
    base = [prepare(case, name) for name in (PLAIN, LISTEN)]
    rounds = {name: alternate([*base, prepare(case, name)], repeats) for name in learnt if name in METHODS}
    rounds[PLAIN] = rounds[LISTEN] = [times for one in list(rounds.values()) for times in one]
    rows = []
    for name in learnt:
        index = {PLAIN: 0, LISTEN: 1}.get(name, 2)
        step = median(times[index] for times in rounds[name])
        ratio = median(times[index] / times[0] for times in rounds[name])
        own = median(times[index] - times[1] for times in rounds[name])
        rows.append(Row(name, step, ratio, own, peaks[name], learnt[name]))
    return rows


def table(case: Case, rows: Sequence[Row]) -> str:
    """Make the table in Markdown, under a heading that names the pair."""
    words = (
        f"{one['name']} ({', '.join(f'{key} {value}' for key, value in one.items() if key != 'name')})"
        for one in PAIRS[case.pair]
    )
    heading = f"## {' teaches '.join(words)}, batches of {case.batch} x {case.seconds:g} s"
    lines = []
    for row in rows:
        own = "" if row.name == PLAIN else f"{1000 * row.own_s:+.0f} ms"
        times = [f"{1000 * row.step_s:.0f} ms", f"{row.ratio:.2f} x", own]
        memory = [f"{row.peak_mb:.0f} MB", f"{row.peak_mb - rows[0].peak_mb:+.0f} MB"]
        lines.append([row.name, *times, *memory, f"{row.learnt:,}"])
    return f"{heading}\n\n{Table.of(HEADER, lines).to_markdown().rstrip()}"


def main() -> None:
    """Read the command line, measure, show the tables and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS), help="which; all by default")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="which; all by default")
    parser.add_argument("--batch", type=int, default=4, help="signals per batch (default 4)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of the signals (default 2)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of measurements (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--out", type=Path, help="write the report there, in Markdown")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    parts = [f"# {(__doc__ or '').partition(chr(10))[0]}"]
    for pair in arguments.pairs:
        case = Case(pair, arguments.batch, arguments.seconds, arguments.threads)
        parts.append(table(case, measure(case, arguments.methods, arguments.repeats)))
    parts.append(f"{machine(arguments.threads)} Medians of {arguments.repeats} rounds a method.")
    parts.append(f"`python benchmarks/methods.py {shlex.join(sys.argv[1:])}`")
    text = "\n\n".join(parts) + "\n"
    print(text, end="")
    if arguments.out:
        write_text(arguments.out, text)


if __name__ == "__main__":
    main()
