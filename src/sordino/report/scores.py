"""The table of one model's scores: a row for each metric."""

from __future__ import annotations

from sordino.evaluation.pesq_trained import PERCEPTUAL, perceptual_notes
from sordino.evaluation.score import Scores
from sordino.metrics import COLUMNS, columns
from sordino.report.columns import figure_cell
from sordino.report.table import Cell, Heading, Table

_HEADINGS = (
    Heading("metric", "Metric"),
    Heading("mean", "Mean"),
    Heading("std", "Std"),
    Heading("low", "95 % low"),
    Heading("high", "95 % high"),
    Heading("n", "Files"),
    Heading("missing", "Not scored"),
)


def score_table(scores: Scores) -> Table:
    """Make the table of mean, deviation over files, 95 % interval and count of every column that was asked for."""
    summaries, rows = scores.summary(), []
    for column in columns(scores.metrics):
        look, summary = COLUMNS[column], summaries.get(column)
        cells = {"metric": Cell(look.label, value=column)}
        for part in ("mean", "std", "low", "high"):
            cells[part] = figure_cell(look, getattr(summary, part, None))
        count = summary.n if summary else 0
        cells |= {"n": Cell(str(count)), "missing": Cell(str(len(scores.rows) - count))}
        rows.append(cells)
    notes = perceptual_notes([scores.metadata["model"]] if scores.metadata.get(PERCEPTUAL) else [])
    return Table(_HEADINGS, rows, notes, label="Scores")
