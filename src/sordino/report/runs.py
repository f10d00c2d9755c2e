"""The table of models on one test set: one row per model, beside the figures of the paper on demand.

A table says how many files stand behind it, how many had no score, and when the data is synthetic. The paper's figures
hold for its test set; a subset of it is another test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sordino.errors import InputError
from sordino.evaluation.pesq_trained import PERCEPTUAL, perceptual_notes
from sordino.evaluation.score import NOISY, Scores
from sordino.metrics import COLUMNS, Column
from sordino.report.columns import (
    SHOWN,
    SIZES,
    SYNTHETIC,
    figure,
    figure_cell,
    interval_text,
    printed_heading,
    printed_notes,
)
from sordino.report.paper import PaperRow
from sordino.report.table import Cell, Heading, Table


@dataclass(frozen=True)
class RunRow:
    """What a table says of one model on one test set."""

    name: str
    means: dict[str, float]
    """Metric column to mean over files."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Metric column to the 95 % interval of that mean."""
    n: int = 0
    """Files scored."""
    failures: int = 0
    """Metrics that had no value for a file."""
    params: float | None = None
    flops_paper: float | None = None
    """Floating-point operations on 4 s of audio as the MV-AT paper counts them."""
    synthetic: bool = False
    perceptual: bool = False
    """Whether it was trained on a differentiable PESQ."""
    paper: str = ""
    """The paper's name for this model, when it is not ``name``."""

    @classmethod
    def of(
        cls,
        scores: Scores,
        name: str = "",
        params: float | None = None,
        flops_paper: float | None = None,
        paper: str = "",
    ) -> RunRow:
        """Summarise the scores of one model; ``name`` defaults to the one in the scores' metadata."""
        summaries = scores.summary()
        intervals = {}
        for column, summary in summaries.items():
            if summary.low is not None and summary.high is not None:
                intervals[column] = (summary.low, summary.high)
        return cls(
            name=name or str(scores.metadata.get("model", "")),
            means={column: summary.mean for column, summary in summaries.items()},
            intervals=intervals,
            n=len(scores.rows),
            failures=len(scores.failures),
            params=params,
            flops_paper=flops_paper,
            synthetic=bool(scores.metadata.get("synthetic", False)),
            perceptual=bool(scores.metadata.get(PERCEPTUAL, False)),
            paper=paper,
        )


def run_table(
    rows: Sequence[RunRow],
    paper: Sequence[PaperRow] = (),
    intervals: bool = False,
    shown: Sequence[str] = SHOWN,
) -> Table:
    """Make the table of several models on the same test set.

    Args:
        rows: one per model; the one called ``noisy`` comes first.
        paper: rows of ``paper.results(...)``; their figures stand beside those of the models with the same name.
        intervals: whether each mean is followed by its 95 % interval. CSV always has them.
        shown: the metric columns; one that no model has is written to CSV alone.

    Raises:
        InputError: there are no rows.
    """
    if not rows:
        raise InputError("results", "there are none", "one or more models")
    rows = sorted(rows, key=lambda row: row.name.lower() != NOISY)
    printed = _printed(rows, paper)
    looks = SIZES | {column: COLUMNS[column] for column in shown}
    headings = [Heading("name", "Model")]
    for column, look in looks.items():
        headings.append(Heading(column, look.label, optional=True))
        if column not in SIZES:
            headings += [Heading(f"{column}_low"), Heading(f"{column}_high")]
        if printed:
            headings.append(printed_heading(column, look))
    any_failed = any(row.failures for row in rows)
    headings += [Heading("n", "Files"), Heading("failures", "Not scored" if any_failed else ""), Heading("synthetic")]
    cells = [_cells(row, printed.get(row.name), looks, intervals) for row in rows]
    return Table(headings, cells, run_notes(rows, paper), label="Table of results")


def run_notes(rows: Sequence[RunRow], paper: Sequence[PaperRow] = ()) -> list[str]:
    """Say whether data is synthetic, which models were trained on PESQ, and where the paper's figures come from."""
    notes = [SYNTHETIC] if any(row.synthetic for row in rows) else []
    notes += perceptual_notes(row.name for row in rows if row.perceptual)
    return notes + printed_notes(_printed(rows, paper))


def _printed(rows: Sequence[RunRow], paper: Sequence[PaperRow]) -> dict[str, PaperRow]:
    """The name of each model that the paper has a row for -> that row."""
    by_name = {row.name: row for row in paper}
    return {row.name: by_name[row.paper or row.name] for row in rows if (row.paper or row.name) in by_name}


def _cells(row: RunRow, printed: PaperRow | None, looks: Mapping[str, Column], intervals: bool) -> dict[str, Cell]:
    cells = {"name": Cell(row.name)}
    for column, look in looks.items():
        low, high = row.intervals.get(column, (None, None))
        interval = interval_text(look, low, high) if intervals else ""
        cells[column] = figure_cell(look, figure(row, column), interval)
        cells |= {f"{column}_low": Cell(value=low), f"{column}_high": Cell(value=high)}
        cells[f"{column}_printed"] = figure_cell(look, figure(printed, column))
    cells |= {"n": Cell(str(row.n)), "failures": Cell(str(row.failures)), "synthetic": Cell(value=row.synthetic)}
    return cells
