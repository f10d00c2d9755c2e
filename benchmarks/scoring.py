"""When a pool of processes is worth its start: recordings measured by the pool at once, and as ``score`` does it.

``score`` measures the first recordings itself and starts the pool for what is left after two seconds of that. Synthetic
recordings of about 3 s; the two ways take turns.

    python benchmarks/scoring.py --out benchmarks/results/scoring.md
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from statistics import median

from paired import alternate, machine

from sordino.data.sources import Synthetic
from sordino.evaluation.score import score
from sordino.files import write_text
from sordino.metrics import DEFAULT
from sordino.report.table import Table

COUNTS = (2, 8, 24, 96)
METRICS = {"of a validation": ("pesq_wb", "si_sdr_db"), "of an evaluation": DEFAULT}
HEADER = ["Measures", "Recordings", "Pool at once (s)", "As score does it (s)", "Faster"]


def main() -> None:
    """Read the command line, measure, show the table and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of measurements (default 3)")
    parser.add_argument("--out", type=Path, help="write the table there")
    given = parser.parse_args()
    items, rows = list(Synthetic(valid_items=max(COUNTS)).valid()), []
    for label, metrics in METRICS.items():
        for count in COUNTS:
            ways = [partial(score, None, items[:count], metrics, workers=workers) for workers in (os.cpu_count(), None)]
            times = alternate(ways, given.repeats)
            pool, mixed = (median(column) for column in zip(*times, strict=True))
            faster = median(pool / mixed for pool, mixed in times)
            rows.append([label, str(count), f"{pool:.2f}", f"{mixed:.2f}", f"{faster:.2f} x"])
            print(*rows[-1], sep="  ", flush=True)
    title = "Recordings measured by a pool at once, and from two seconds on"
    facts = f"`python benchmarks/scoring.py`: medians of {given.repeats} pairs, synthetic recordings. {machine()}"
    if given.out is not None:
        write_text(given.out, f"# {title}\n\n{Table.of(HEADER, rows, [facts]).to_markdown()}")


if __name__ == "__main__":
    main()
