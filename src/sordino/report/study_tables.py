"""The tables of a study: one for each test set, with a row for each method in each scenario."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from sordino.errors import InputError
from sordino.evaluation.statistics import OVER_BOTH, OVER_FILES
from sordino.evaluation.trained_on import notes as trained_notes
from sordino.metrics import Column, look_of
from sordino.report.columns import (
    INNER,
    SMALL_SIZES,
    SYNTHETIC,
    difference_cells,
    figure,
    figure_cell,
    labels,
    printed_notes,
)
from sordino.report.studies import StudyRow
from sordino.report.table import Cell, Table


def study_tables(
    tests: Mapping[str, Sequence[StudyRow]], against: str | None = None, synthetic: bool = False, note: str = ""
) -> list[Table]:
    """Make the table of each test set; in HTML, scenarios are headings within it.

    Args:
        tests: name of each test set to its rows; a single one goes without its name.
        against: the method that the others are compared with.
        synthetic: whether the data is.
        note: a further remark for each table.

    Raises:
        InputError: there are no rows.
    """
    if not any(tests.values()):
        raise InputError("study", "has no finished run")
    tables = []
    for test, rows in tests.items():
        shown = {column: look_of(column) for column in shown_metrics(rows)}
        # Students are small, so that their parameters are shown in thousands.
        heads = {"scenario": "Scenario", "method": "Method", **labels(SMALL_SIZES), "seeds": "Seeds", **labels(shown)}
        cells = [{"test": Cell(value=test), **_cells(row, shown)} for row in rows]
        notes = _notes(rows, against, note)
        if synthetic:
            notes.append(SYNTHETIC)
        title = test if len(tests) > 1 else ""
        tables.append(Table(heads, cells, notes, title, "Table of the study", group="scenario", missing=""))
    return tables


def _notes(rows: Sequence[StudyRow], against: str | None, note: str) -> list[str]:
    """Explain what a mean and a difference in the table are, which models were trained on a metric, and ``note``."""
    seeds, files = max(row.seeds for row in rows), max(row.files for row in rows)
    notes = [f"Mean ± standard deviation over {seeds} seed(s), on {files} file(s).", *_not_scored(rows)]
    notes += _intervals(rows, against)
    notes += trained_notes((row.cell.method, row.trained_on) for row in rows)
    if note:
        notes.append(note)
    return notes + printed_notes({row.printed.name: row.printed for row in rows if row.printed})


def _not_scored(rows: Sequence[StudyRow]) -> list[str]:
    """Name the means that lack files, because a metric was undefined for some estimate of the row."""
    lacking = []
    for row in rows:
        where = " ".join(part for part in row.cell if part)
        for column, summary in row.summaries.items():
            if summary.n < row.files and column not in INNER:
                lacking.append(f"{where}, {look_of(column).label}: on {summary.n} of {row.files} files")
    if not lacking:
        return []
    return [f"Not on all files, so that only Δ compares: {'; '.join(lacking)}."]


def _intervals(rows: Sequence[StudyRow], against: str | None) -> list[str]:
    """Say what the intervals of the differences cover, which depends on the seeds of both sides."""
    reference_seeds = {row.cell.scenario: row.seeds for row in rows if row.cell.method == against}
    pairs = {(row.seeds, reference_seeds.get(row.cell.scenario, 1)) for row in rows if row.differences}
    if not pairs:
        return []
    above = f"Δ: above {against} on the same files, with its"
    several = pairs - {(1, 1)}
    if not several:
        return [f"{above} {OVER_FILES}."]
    sentence = f"{above} {OVER_BOTH}"
    if (1, 1) in pairs:
        sentence += f"; of one seed against one, its {OVER_FILES}"
    sentence += "."
    if any(1 in pair for pair in several):
        sentence += " A single seed against several counts as varying as they do."
    return [sentence]


def shown_metrics(rows: Sequence[StudyRow]) -> list[str]:
    """Return the metric columns that tables and plots show; those that CSIG and its like are made of are left out."""
    columns = dict.fromkeys(chain.from_iterable(row.spreads for row in rows))
    return [column for column in columns if column not in INNER]


def _cells(row: StudyRow, shown: Iterable[str]) -> dict[str, Cell]:
    """The cells of a row. A row of the paper, a summary or a difference that it lacks has no cells."""
    cells = {
        "scenario": Cell(row.cell.scenario),
        "method": Cell(row.cell.method),
        "seeds": Cell(str(row.seeds)),
        "files": Cell(value=row.files),
    }
    for column, look in SMALL_SIZES.items():
        cells[column] = figure_cell(look, getattr(row.size, column, None))
        cells |= _printed_cell(row, column, look)
    for column in dict.fromkeys([*row.spreads, *shown]):
        look = look_of(column)
        if column in row.spreads:
            cells |= _metric_cells(row, column, look)
        else:
            cells |= _printed_cell(row, column, look)
    return cells


def _printed_cell(row: StudyRow, column: str, look: Column) -> dict[str, Cell]:
    if row.printed is None:
        return {}
    return {f"{column}_printed": figure_cell(look, figure(row.printed, column))}


def _metric_cells(row: StudyRow, column: str, look: Column) -> dict[str, Cell]:
    """The cells of one metric: mean, deviation, interval, and the difference from the reference method."""
    spread, summary, difference = row.spreads[column], row.summaries.get(column), row.differences.get(column)
    text = look.show(spread.mean)
    if spread.std is not None:
        text += f" ± {look.show(spread.std)}"
    cells = {column: Cell(text, value=spread.mean), f"{column}_std": Cell(value=spread.std)}
    cells |= _printed_cell(row, column, look)
    if summary is not None:
        cells |= {f"{column}_low": Cell(value=summary.low), f"{column}_high": Cell(value=summary.high)}
    if difference is not None:
        cells |= difference_cells(column, look, difference)
    return cells
