"""The table of models on one test set: one row per model, beside the figures of the paper on demand.

A mean that is shown is over the files that all rows have scored for this metric, so that figures below each other can
be compared; CSV holds each model's own mean and how many files are behind it. A table says which files are left out,
and when the data is synthetic. The paper's figures hold for its test set; a subset of it is another test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any

from sordino.errors import InputError
from sordino.evaluation.score import NOISY, Scores
from sordino.evaluation.statistics import Difference, worse_files
from sordino.evaluation.trained_on import Losses, marked
from sordino.evaluation.trained_on import notes as trained_notes
from sordino.metrics import Column, columns, look_of
from sordino.report.columns import (
    COSTS,
    INNER,
    SHOWN,
    SIZES,
    SYNTHETIC,
    difference_cells,
    figure,
    figure_cell,
    labels,
    printed_notes,
    sizes_for,
)
from sordino.report.common_files import left_out_notes, over_common_files
from sordino.report.paper import PaperRow
from sordino.report.table import Cell, Table, without_empty_columns


@dataclass(frozen=True)
class RunRow:
    """Row of a table: one model on one test set."""

    name: str
    means: dict[str, float]
    """Metric column to mean over the files that this model has scores for."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Metric column to the 95 % interval of that mean."""
    deviations: dict[str, float | None] = field(default_factory=dict)
    """Metric column to the standard deviation over files; None for a single file."""
    counts: dict[str, int] = field(default_factory=dict)
    """Metric column to the number of files behind that mean."""
    n: int = 0
    """Files scored."""
    failures: int = 0
    """Metrics that had no value for a file."""
    params: float | None = None
    flops_paper: float | None = None
    """Floating-point operations on 4 s of audio as the MV-AT paper counts them."""
    rtf: float | None = None
    """Seconds of work per second of audio, on one thread."""
    in_torch: bool = False
    """Whether it was timed in torch, and not in onnxruntime."""
    synthetic: bool = False
    trained_on: Losses = ()
    """Losses of its training that are metrics."""
    paper: str = ""
    """The paper's name for this model, when it is not ``name``."""
    worse: dict[str, int] = field(default_factory=dict)
    """Metric column to the files on which it scores worse than the noisy input; empty where that was not scored."""
    against: str = ""
    """The row that ``differences`` are to; see ``sordino.report.differences.compared``."""
    differences: dict[str, Difference] = field(default_factory=dict)
    """Metric column to how far it is above that row on the same files."""
    scores: Scores | None = field(default=None, repr=False)
    """What the means are of; with them a table can compare rows on the same files."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, without the score of every file."""
        value = asdict(replace(self, scores=None))
        del value["scores"]
        value["differences"] = {column: one._asdict() for column, one in self.differences.items()}
        return value

    @classmethod
    def of(
        cls,
        scores: Scores,
        name: str = "",
        params: float | None = None,
        flops_paper: float | None = None,
        paper: str = "",
        noisy: Scores | None = None,
    ) -> RunRow:
        """Summarise the scores of one model; ``name`` defaults to the one in the scores' metadata.

        ``noisy`` are the scores of the noisy input on the same files; without them ``worse`` is empty.
        """
        summaries = scores.summary()
        intervals = {}
        for column, summary in summaries.items():
            if summary.low is not None and summary.high is not None:
                intervals[column] = (summary.low, summary.high)
        return cls(
            name=name or str(scores.metadata.get("model", "")),
            means={column: summary.mean for column, summary in summaries.items()},
            intervals=intervals,
            deviations={column: summary.std for column, summary in summaries.items()},
            counts={column: summary.n for column, summary in summaries.items()},
            n=len(scores.rows),
            failures=len(scores.failures),
            params=params,
            flops_paper=flops_paper,
            synthetic=bool(scores.metadata.get("synthetic", False)),
            trained_on=marked(scores.metadata),
            paper=paper,
            worse={} if noisy is None else _worse(scores, noisy),
            scores=scores,
        )


def run_table(
    rows: Sequence[RunRow],
    paper: Sequence[PaperRow] = (),
    intervals: bool = False,
) -> Table:
    """Make the table of several models on the same test set.

    Args:
        rows: one per model; the one called ``noisy`` comes first.
        paper: rows of ``paper.results(...)``; their figures stand beside those of the models with the same name.
        intervals: whether each mean is followed by its 95 % interval. CSV always has them. It lacks the columns that
            no row has.

    Raises:
        InputError: there are no rows.
    """
    if not rows:
        raise InputError("results", "there are none", "one or more models")
    rows = sorted(rows, key=lambda row: row.name.lower() != NOISY)
    paper_rows = {row.name: row for row in paper}
    printed = {}
    for row in rows:
        paper_name = row.paper or row.name
        if paper_name in paper_rows:
            printed[row.name] = paper_rows[paper_name]
    measured = chain.from_iterable(row.means for row in rows)
    further = [column for column in measured if column not in INNER]
    shown = tuple(dict.fromkeys([*SHOWN, *further]))
    costs = COSTS if any(row.rtf is not None for row in rows) else SIZES
    looks = costs | sizes_for(row.params for row in rows) | {column: look_of(column) for column in shown}
    heads = {"name": "Model"} | labels(looks) | {"n": "Files"}
    if any(row.failures for row in rows):
        heads["failures"] = "Not scored"
    notes = []
    if any(row.synthetic for row in rows):
        notes.append(SYNTHETIC)
    notes += left_out_notes(shown, [row.name for row in rows], [row.scores for row in rows])
    notes += _worse_notes(rows, shown)
    notes += _speed_notes(rows)
    notes += trained_notes((row.name, row.trained_on) for row in rows)
    notes += printed_notes(printed)
    cells = [_cells(row, looks, printed) for row in rows]
    for column in shown:
        _show_common(column, rows, cells, intervals)
    return Table(heads, without_empty_columns(cells), notes, name="Table of results")


def _show_common(column: str, rows: Sequence[RunRow], cells: Sequence[dict[str, Cell]], intervals: bool) -> None:
    """Put what is shown of a metric into the cells of all rows: means over the files that all of them have scored."""
    look = look_of(column)
    for row, own, common in zip(rows, cells, over_common_files(column, [row.scores for row in rows]), strict=True):
        if common is not None:
            shown = figure_cell(look, common.mean, common.low, common.high)
        elif row.scores is None:
            shown = figure_cell(look, row.means.get(column), *row.intervals.get(column, (None, None)))
        else:
            shown = Cell()
        # What is shown may be over fewer files than the row's own mean, which CSV holds.
        own[column] = Cell(shown.text, shown.interval if intervals else "", row.means.get(column))


def _worse(scores: Scores, noisy: Scores) -> dict[str, int]:
    """For each metric column that both have, the files on which a model scores worse than the noisy input."""
    noisy_columns = columns(noisy.metrics)
    worse = {}
    for column in columns(scores.metrics):
        if column in noisy_columns:
            higher_is_better = look_of(column).higher_is_better
            worse[column] = worse_files(scores.values(column), noisy.values(column), higher_is_better)
    return worse


def _speed_notes(rows: Sequence[RunRow]) -> list[str]:
    """Say whose speed is that of torch, where others ran in onnxruntime, which is faster."""
    timed = [row for row in rows if row.rtf is not None]
    slow = [row.name for row in timed if row.in_torch]
    if not slow or len(slow) == len(timed):
        return []
    return [f"{', '.join(slow)}: timed in torch; once exported to ONNX it is faster, as the others are."]


def _worse_notes(rows: Sequence[RunRow], shown: Sequence[str]) -> list[str]:
    """Say on how many files each model scores worse than the noisy input; a good mean can hide them."""
    notes = []
    for row in rows:
        counts = []
        for column in shown:
            if row.worse.get(column):
                counts.append(f"{look_of(column).short_label} on {row.worse[column]}")
        if counts:
            notes.append(f"{row.name}: worse than the noisy input in {', '.join(counts)} of {row.n} files.")
    return notes


def _cells(row: RunRow, looks: Mapping[str, Column], printed: Mapping[str, PaperRow]) -> dict[str, Cell]:
    """The cells of a row, but for what is shown of its metrics; those of the paper's figures where some row has any."""
    cells = {"name": Cell(row.name)}
    for column, look in looks.items():
        cells[column] = figure_cell(look, figure(row, column))
        if column not in COSTS:
            low, high = row.intervals.get(column, (None, None))
            cells[f"{column}_n"] = Cell(value=row.counts.get(column))
            cells[f"{column}_std"] = Cell(value=row.deviations.get(column))
            cells[f"{column}_low"] = Cell(value=low)
            cells[f"{column}_high"] = Cell(value=high)
            cells[f"{column}_worse"] = Cell(value=row.worse.get(column))
        if printed:
            cells[f"{column}_printed"] = figure_cell(look, figure(printed.get(row.name), column))
        if column in row.differences:
            difference = difference_cells(column, look, row.differences[column])
            cells |= {key: Cell(value=cell.value) for key, cell in difference.items()}
    cells["n"] = Cell(str(row.n))
    cells["failures"] = Cell(str(row.failures))
    cells["synthetic"] = Cell(value=row.synthetic)
    return cells
