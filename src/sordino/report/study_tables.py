"""The tables of a study: one for each test set, with a row for each method in each scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sordino.errors import InputError
from sordino.evaluation.pesq_trained import perceptual_notes
from sordino.evaluation.statistics import OVER_BOTH, OVER_FILES, Difference, Spread
from sordino.metrics import COLUMNS, Column
from sordino.report.columns import (
    INNER,
    SIZES,
    SYNTHETIC,
    figure,
    figure_cell,
    interval_text,
    printed_heading,
    printed_notes,
)
from sordino.report.studies import StudyRow
from sordino.report.table import Cell, Heading, Table

# Students are small, so that their parameters are shown in thousands.
_SIZES = SIZES | {"params": Column("Params (K)", 1, 1e-3, higher_is_better=False)}


def study_tables(
    tests: Mapping[str, Sequence[StudyRow]], against: str | None = None, synthetic: bool = False, note: str = ""
) -> list[Table]:
    """Make the table of each test set.

    Args:
        tests: name of each test set to its rows; a single one goes without its name.
        against: the method that the others are compared with.
        synthetic: whether the data is.
        note: a further remark below each table.

    Raises:
        InputError: there are no rows.
    """
    if not any(tests.values()):
        raise InputError("study", "has no finished run")
    return [
        study_table(rows, against, synthetic, note, name, name if len(tests) > 1 else "")
        for name, rows in tests.items()
    ]


def study_table(
    rows: Sequence[StudyRow],
    against: str | None = None,
    synthetic: bool = False,
    note: str = "",
    test: str = "",
    title: str = "",
) -> Table:
    """Make the table of one test set; in HTML, scenarios are headings within it.

    Args:
        rows: in the order to be shown.
        against, synthetic, note: as for :func:`study_tables`.
        test: name of the test set, for CSV.
        title: stands above the table.
    """
    cells = [{"test": Cell(value=test), **_cells(row)} for row in rows]
    notes = study_notes(rows, against, note) + ([SYNTHETIC] if synthetic else [])
    # CSV has the columns that some row has something for: the paper's figures, for one, if a row has any.
    used = {key for row in cells for key in row}
    headings = [heading for heading in _headings(rows) if heading.key in used]
    return Table(headings, cells, notes, title, "Table of the study", group="scenario", missing="")


def study_notes(rows: Sequence[StudyRow], against: str | None = None, note: str = "") -> list[str]:
    """Say what a mean and a difference in the table are, which models were trained on PESQ, and ``note``."""
    seeds, files = max(row.seeds for row in rows), max(row.files for row in rows)
    notes = [f"Mean ± standard deviation over {seeds} seed(s), on {files} file(s)."]
    if any(row.differences for row in rows):
        notes.append(f"Δ: above {against} on the same files, with its {OVER_BOTH if seeds > 1 else OVER_FILES}.")
    notes += perceptual_notes(row.cell.method for row in rows if row.perceptual)
    if note:
        notes.append(note)
    return notes + printed_notes({row.printed.name: row.printed for row in rows if row.printed})


def shown_metrics(rows: Sequence[StudyRow]) -> list[str]:
    """The metric columns that tables and plots show; CSV has those too that CSIG, CBAK and COVL are computed from."""
    return [column for column in _metrics(rows) if column not in INNER]


def _metrics(rows: Sequence[StudyRow]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row.spreads))


def _headings(rows: Sequence[StudyRow]) -> list[Heading]:
    """Every column that a study's table may have, in order."""
    headings = [Heading("test"), Heading("scenario", "Scenario"), Heading("method", "Method")]
    headings += [Heading("seeds", "Seeds"), Heading("files")]
    for column, look in _SIZES.items():
        headings += [Heading(column, look.label, optional=True), printed_heading(column, look)]
    shown = shown_metrics(rows)
    for column in _metrics(rows):
        look = COLUMNS[column]
        printed = printed_heading(column, look)
        headings += [Heading(column, look.label if column in shown else ""), Heading(f"{column}_std")]
        headings += [printed, Heading(f"{column}_low"), Heading(f"{column}_high")]
        headings.append(Heading(f"{column}_difference", f"Δ {look.label}" if column in shown else "", optional=True))
        headings += [Heading(f"{column}_difference_low"), Heading(f"{column}_difference_high")]
    return headings


def _cells(row: StudyRow) -> dict[str, Cell]:
    cells = {"scenario": Cell(row.cell.scenario), "method": Cell(row.cell.method)}
    cells |= {"seeds": Cell(str(row.seeds)), "files": Cell(value=row.files)}
    for column, look in _SIZES.items():
        cells[column] = figure_cell(look, getattr(row.size, column, None))
    for column, spread in row.spreads.items():
        cells |= _metric_cells(row, column, spread)
    if row.printed is not None:
        for column, look in (_SIZES | {column: COLUMNS[column] for column in row.spreads}).items():
            cells[f"{column}_printed"] = figure_cell(look, figure(row.printed, column))
    return cells


def _metric_cells(row: StudyRow, column: str, spread: Spread) -> dict[str, Cell]:
    """The cells of one metric: mean, deviation, interval, and the difference from the reference method."""
    look = COLUMNS[column]
    mean, std = look.show(spread.mean), spread.std if spread.n > 1 else None
    cells = {column: Cell(mean if std is None else f"{mean} ± {look.show(std)}", value=spread.mean)}
    cells[f"{column}_std"] = Cell(value=std)
    summary, difference = row.summaries.get(column), row.differences.get(column)
    if summary is not None:
        cells |= {f"{column}_low": Cell(value=summary.low), f"{column}_high": Cell(value=summary.high)}
    if difference is not None:
        cells[f"{column}_difference"] = _difference_cell(look, difference)
        cells[f"{column}_difference_low"] = Cell(value=difference.low)
        cells[f"{column}_difference_high"] = Cell(value=difference.high)
    return cells


def _difference_cell(look: Column, difference: Difference) -> Cell:
    """A difference with its sign, and its interval where it has one."""
    sign = "+" if difference.mean >= 0 else ""
    interval = interval_text(look, difference.low, difference.high)
    return Cell(f"{sign}{look.show(difference.mean)}", interval, difference.mean)
