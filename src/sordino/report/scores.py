"""The table of one model's scores: a row for each metric."""

from __future__ import annotations

from sordino.evaluation.score import Scores
from sordino.evaluation.trained_on import marked
from sordino.evaluation.trained_on import notes as trained_notes
from sordino.metrics import columns, look_of
from sordino.report.columns import figure_cell
from sordino.report.table import Cell, Table

_LABELS = {"metric": "Metric", "mean": "Mean", "std": "Std", "low": "95 % low", "high": "95 % high"}
_COUNTS = {"n": "Files", "missing": "Not scored"}


def score_table(scores: Scores) -> Table:
    """Make the table of mean, deviation over files, 95 % interval and count of every column that was asked for."""
    summaries, rows = scores.summary(), []
    unread = {one.id for one in scores.failures} - {row["id"] for row in scores.rows}
    for column in columns(scores.metrics):
        look, summary = look_of(column), summaries.get(column)
        cells = {"metric": Cell(look.label, value=column)}
        cells |= {part: figure_cell(look, getattr(summary, part, None)) for part in ("mean", "std", "low", "high")}
        count = summary.n if summary else 0
        rows.append(cells | {"n": Cell(str(count)), "missing": Cell(str(len(scores.rows) + len(unread) - count))})
    notes = trained_notes([(str(scores.metadata.get("model", "")), marked(scores.metadata))])
    return Table(_LABELS | _COUNTS, rows, notes, name="Scores", complete=True)
