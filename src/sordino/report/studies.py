"""The results of a study: what each method scores in each scenario, over seeds, and how far two methods are apart.

A figure is the mean over seeds of the mean over files, with the standard deviation over seeds. Methods are compared in
pairs, file by file. The interval of a difference says how it might change with other files and other seeds; where both
methods have one seed each, with other files alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from statistics import fmean
from typing import Any

from sordino.evaluation.score import Scores
from sordino.evaluation.statistics import Difference, Spread, Summary, over_seeds, summarise_seeds
from sordino.evaluation.trained_on import Losses, marked, ordered
from sordino.metrics import columns
from sordino.report.differences import differences, on_shared_files
from sordino.report.paper import PaperRow
from sordino.report.study_cells import NetworkSize, StudyCell


@dataclass(frozen=True)
class StudyRow:
    """Row of a study's table: one method in one scenario, on one test set."""

    cell: StudyCell
    spreads: dict[str, Spread]
    """Metric column to mean and deviation over seeds."""
    by_seed: dict[str, list[float]]
    """Metric column to the mean of each seed."""
    summaries: dict[str, Summary]
    """Metric column to the mean on the files that all seeds have scores for, and its interval over files and seeds."""
    differences: dict[str, Difference]
    """Metric column to the difference from the reference method in the same scenario; empty for that method, and
    without the columns for which the two share no file."""
    seeds: int
    files: int
    size: NetworkSize | None = None
    printed: PaperRow | None = None
    """The row of the paper that it reproduces."""
    trained_on: Losses = ()
    """Losses of its training that are metrics."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, each figure under its name."""
        value = asdict(self)
        for name in ("spreads", "summaries", "differences"):
            value[name] = {column: one._asdict() for column, one in getattr(self, name).items()}
        value["cell"] = self.cell._asdict()
        value["size"] = self.size and self.size._asdict()
        value["printed"] = self.printed and self.printed._asdict()
        return value


def study_rows(
    scores: Mapping[StudyCell, Sequence[Scores]],
    against: str | None,
    sizes: Mapping[StudyCell, NetworkSize] | None = None,
    printed: Mapping[StudyCell, PaperRow] | None = None,
) -> list[StudyRow]:
    """Summarise the scores of a study on one test set.

    Args:
        scores: for each cell those of its seeds.
        against: the method that the others are compared with, if it was scored in their scenario.
        sizes: of the cells' networks.
        printed: the rows of the paper that cells reproduce.
    """
    rows = []
    for cell, runs in scores.items():
        reference = None
        if against and against != cell.method:
            reference = scores.get(StudyCell(cell.scenario, against))
        spreads, by_seed, summaries = _metrics(runs)
        row = StudyRow(
            cell,
            spreads,
            by_seed,
            summaries,
            differences(runs, reference) if reference else {},
            seeds=len(runs),
            files=max(len(run.rows) for run in runs),
            size=(sizes or {}).get(cell),
            printed=(printed or {}).get(cell),
            trained_on=ordered(chain.from_iterable(marked(run.metadata) for run in runs)),
        )
        rows.append(row)
    return rows


def _metrics(
    runs: Sequence[Scores],
) -> tuple[dict[str, Spread], dict[str, list[float]], dict[str, Summary]]:
    """Summarise the runs of one cell, column by column, on the files that all of them have a value for.

    Returns:
        ``spreads``, ``by_seed`` and ``summaries`` of a :class:`StudyRow`.
    """
    spreads: dict[str, Spread] = {}
    by_seed: dict[str, list[float]] = {}
    summaries: dict[str, Summary] = {}
    for column in dict.fromkeys(chain.from_iterable(columns(run.metrics) for run in runs)):
        shared = on_shared_files(runs, column)
        if not shared[0]:
            continue
        by_seed[column] = [fmean(scores.values()) for scores in shared]
        spreads[column] = over_seeds(by_seed[column])
        summaries[column] = summarise_seeds(shared)
    return spreads, by_seed, summaries
