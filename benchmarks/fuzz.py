"""Read many damaged files of every kind, as tests/test_fuzz.py reads some, and count what escapes.

Each file is drawn from its number alone, so what escaped once is found again by that number.

    python benchmarks/fuzz.py --files 10000 --seconds 90 --out benchmarks/results/fuzz.md
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from sordino.files import write_text
from sordino.report.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.fuzzing import Escape, fuzz
from helpers.strangers import KINDS, Kind

AT_ONCE = 200
"""Files that one process reads, unless it ends before: starting one costs as much as reading fifty. The time is looked
at between processes."""


def main() -> None:
    """Read the words typed, fuzz each kind, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="*", help="names, or parts of them; all when left out")
    parser.add_argument("--first", type=int, default=0, help="number of the first file of each kind")
    parser.add_argument("--files", type=int, default=1000, help="of each kind")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="for each kind, after which no more are read"
    )
    parser.add_argument("--out", type=Path, help="where to write the table as Markdown")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for kind in KINDS:
        if not given.kind or any(part in kind.name for part in given.kind):
            tried, escapes = _fuzzed(kind, given.first, given.files, given.seconds)
            rows.append([kind.name, str(tried), str(len(escapes))])
            print(*rows[-1], sep=": ", flush=True)
            for escape in escapes:
                print(f"  {escape.number}: {escape.reason}", flush=True)
    if given.out:
        write_text(given.out, Table.of(["kind", "tried", "escaped"], rows).to_markdown())


def _fuzzed(kind: Kind, first: int, count: int, seconds: float) -> tuple[int, list[Escape]]:
    """Read files of one kind; returns how many, and what escaped."""
    end, tried, escapes = time.monotonic() + seconds, 0, []
    while tried < count and time.monotonic() < end:
        more = min(AT_ONCE, count - tried)
        escapes += fuzz(kind, range(first + tried, first + tried + more))
        tried += more
    return tried, escapes


if __name__ == "__main__":
    main()
