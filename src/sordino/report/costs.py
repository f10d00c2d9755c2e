"""The table of what models cost: the efficiency half of the MV-AT paper's Table 1, and what it leaves out.

The parameters and FLOPs that the paper prints stand beside those counted here. The other columns are
multiply-accumulates of every operation per second of audio, real-time factor, and peak memory on this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from sordino.errors import InputError
from sordino.evaluation.efficiency import Cost
from sordino.metrics import Column
from sordino.report.columns import SIZES, figure, figure_cell, labels
from sordino.report.paper import PaperRow, source
from sordino.report.table import Cell, Table, without_empty_columns

_COLUMNS = SIZES | {
    "macs_per_second": Column("MACs (G/s)", 2, 1e-9, higher_is_better=False),
    "real_time_factor": Column("Real-time factor", 3, higher_is_better=False),
    "peak_memory_bytes": Column("Memory (MiB)", 0, 2**-20, higher_is_better=False),
}


class CostRow(NamedTuple):
    """One model of the table, and the published row that it reproduces."""

    title: str
    cost: Cost
    printed: PaperRow | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values; of the published row its name, its sizes and its note."""
        printed: dict[str, Any] | None = None
        if self.printed is not None:
            printed = {"name": self.printed.name, "note": self.printed.note}
            printed |= {size: getattr(self.printed, size) for size in SIZES}
        return {"title": self.title, **asdict(self.cost), "printed": printed}


def cost_table(rows: Sequence[CostRow], seconds: float) -> Table:
    """Make the table of several models, in the order given.

    Args:
        rows: one per model; a column that none of them has is left out, of CSV too.
        seconds: of audio that the models were measured on.

    Raises:
        InputError: there are no rows.
    """
    if not rows:
        raise InputError("bench", "there is nothing to show", "one or more models")
    table_rows = without_empty_columns([_cells(row) for row in rows])
    return Table({"name": "Model"} | labels(_COLUMNS), table_rows, _notes(rows, seconds), name="What models cost")


def _notes(rows: Sequence[CostRow], seconds: float) -> list[str]:
    """Say how the figures were measured, where printed ones come from, and which are not comparable."""
    notes = ["FLOPs, paper: on 4 s, as the MV-AT paper counts them.", f"MACs: every operation, on {seconds:g} s."]
    timed = [row.cost.speed for row in rows if row.cost.speed is not None]
    if timed:
        passes = f"{timed[0].repeats} pass(es) over {seconds:g} s on {timed[0].threads} thread(s) of this machine"
        notes.append(f"Real-time factor: the median of {passes}; memory: what one pass takes beside the weights.")
    printed = {row.title: row.printed for row in rows if row.printed is not None}
    if printed:
        notes.append(f"Printed: {source()}.")
    return notes + [f"{title}, printed: {row.note}." for title, row in printed.items() if row.note]


def _cells(row: CostRow) -> dict[str, Cell]:
    cost, cells = row.cost, {"name": Cell(row.title)}
    speed = None if cost.speed is None else cost.speed.median
    values = (cost.parameters, cost.flops_paper, cost.macs_per_second, speed, cost.peak_memory_bytes)
    for (column, look), value in zip(_COLUMNS.items(), values, strict=True):
        cells[column] = figure_cell(look, value)
        if column in SIZES:
            cells[f"{column}_printed"] = figure_cell(look, figure(row.printed, column))
    return cells
