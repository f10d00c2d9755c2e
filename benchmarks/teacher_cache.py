"""A step of MV-AT with a cached teacher, beside one with the live teacher and one without any.

A step is the forward pass, the losses, the backward pass and Adam; with the cache it also finds the answers by the
speech and reads them from disk (which the system keeps in memory after the first time). The three run in turn, so that
whatever else the machine does meets all of them.

    python benchmarks/teacher_cache.py --repeats 5 --out benchmarks/results/teacher_cache.md
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from paired import CASES, alternate, machine

from sordino.distill.methods import METHODS
from sordino.distill.teachers import AnyTeacher, CachedTeacher, Teacher
from sordino.files import write_text
from sordino.losses import Weighted
from sordino.report.table import Table
from sordino.training import Objective
from sordino.types import Batch

STUDENT, TEACHER = "S12/3", "B60/4"


def step(batch: Batch, teacher: AnyTeacher | None) -> Callable[[], object]:
    """A training step, ready to run."""
    student = CASES[STUDENT].network("ours").train()
    methods = {} if teacher is None else {"mvat": METHODS["mvat"]()}
    objective = Objective({"weighted": Weighted()}, methods, student, teacher)
    objective.prepare(student, batch)
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-4)

    def work() -> None:
        optimizer.zero_grad()
        objective(student, batch)[0].backward()
        optimizer.step()

    return work


def measure(repeats: int) -> tuple[list[list[float]], float]:
    """Seconds of the three steps, round by round, and the bytes of an answer on disk."""
    noisy = CASES[STUDENT].noisy()
    batch = Batch(noisy, 0.5 * noisy, torch.full((len(noisy),), noisy.shape[1]))
    live = Teacher(CASES[TEACHER].network("ours"))
    with tempfile.TemporaryDirectory() as folder:
        cached = CachedTeacher(lambda: live, folder, {"teacher": TEACHER})
        rounds = alternate([step(batch, teacher) for teacher in (None, cached, live)], repeats)
        sizes = [path.stat().st_size for path in Path(folder).glob("*/*.safetensors")]
    return rounds, median(sizes)


def report(rounds: list[list[float]], size: float, threads: int) -> str:
    """Make the report in Markdown."""
    case = CASES[STUDENT]
    title = (__doc__ or "").partition("\n")[0]
    setting = f"Student {STUDENT}, teacher {TEACHER}, {case.batch} segments of {case.seconds:g} s of noise."
    rows = []
    for index, name in enumerate(("none", "cached", "live")):
        ratio = median(taken[index] / taken[0] for taken in rounds)
        rows.append([name, f"{1000 * median(taken[index] for taken in rounds):.0f} ms", f"{ratio:.2f} x"])
    notes = [f"An answer takes {size / 1000:.0f} kB on disk. {machine(threads)}"]
    notes.append(f"Medians of {len(rounds)} rounds; the ratios are taken within a round.")
    table = Table.of(["Teacher", "Step", "To a step without a teacher"], rows, notes)
    return f"# {title}\n\n{setting}\n\n{table.to_markdown()}"


def main() -> None:
    """Read the command line, measure, show the report and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="rounds of the three (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--out", type=Path, help="write the report there")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    text = report(*measure(arguments.repeats), arguments.threads)
    print(text, end="")
    if arguments.out:
        write_text(arguments.out, text)


if __name__ == "__main__":
    main()
