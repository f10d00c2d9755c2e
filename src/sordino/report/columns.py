"""Columns that several tables share: the size of a network, the metrics, and the figures that the paper prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sordino.evaluation.statistics import Difference
from sordino.metrics import METRICS, Column
from sordino.report.paper import PaperRow, source
from sordino.report.table import Cell

SYNTHETIC = "The data is synthetic: these figures say nothing about recordings of real speech."

SHOWN = (
    *("pesq_wb", "stoi", "estoi", "csig", "cbak", "covl", "si_sdr_db"),
    *("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak"),
)
"""The metric columns of a table of models, in their order."""
INNER = METRICS["composite"].columns.keys() - set(SHOWN)
"""The metric columns that CSIG, CBAK and COVL are computed from. Tables of studies have them in CSV alone."""

SIZES = {
    "params": Column("Params (M)", 2, 1e-6, higher_is_better=False),
    "flops_paper": Column("FLOPs, paper (G)", 2, 1e-9, higher_is_better=False),
}
"""Columns for the size of a network: fields of ``RunRow``, ``NetworkSize`` and ``PaperRow``."""
SMALL_SIZES = SIZES | {"params": Column("Params (K)", 1, 1e-3, higher_is_better=False)}
"""The same for networks that would have 0.00 million parameters."""
SMALL = 1e5
"""Parameters below which a network is called small."""
COSTS = SIZES | {"rtf": Column("RTF, one thread", 4, higher_is_better=False)}
"""``SIZES`` with the speed, of which the paper prints nothing."""


def sizes_for(params: Iterable[float | None]) -> dict[str, Column]:
    """Return the columns for the sizes of networks with these parameter counts: in thousands if one is small."""
    small = any(count is not None and 0 < count < SMALL for count in params)
    return SMALL_SIZES if small else SIZES


def labels(columns: Mapping[str, Column]) -> dict[str, str]:
    """Return the headings of columns, each followed by those for what the paper prints and for a difference."""
    headings: dict[str, str] = {}
    for column, look in columns.items():
        headings |= {column: look.label, f"{column}_printed": f"{look.label}, printed"}
        headings[f"{column}_difference"] = f"Δ {look.label}"
    return headings


def figure(row: Any, column: str) -> float | None:
    """Return a cost of a ``RunRow`` or ``PaperRow``, or its mean of a metric; None where it has none, or is None."""
    if row is None:
        return None
    return getattr(row, column, None) if column in COSTS else row.means.get(column)


def figure_cell(look: Column, value: float | None, low: float | None = None, high: float | None = None) -> Cell:
    """Make the cell of a figure, which may be missing, with the interval from ``low`` to ``high`` if it has one."""
    if value is None:
        return Cell()
    interval = "" if low is None or high is None else f"[{look.show(low)}, {look.show(high)}]"
    return Cell(look.show(value), interval, value)


def difference_cell(look: Column, difference: Difference) -> Cell:
    """Make the cell of a difference, with a sign and its interval."""
    cell = figure_cell(look, difference.mean, difference.low, difference.high)
    sign = "" if difference.mean < 0 else "+"  # a negative figure has its own
    return cell._replace(text=sign + cell.text)


def difference_cells(column: str, look: Column, difference: Difference) -> dict[str, Cell]:
    """Make the cells of a difference in a row of a table: what is shown, and the ends of its interval for CSV."""
    return {
        f"{column}_difference": difference_cell(look, difference),
        f"{column}_difference_low": Cell(value=difference.low),
        f"{column}_difference_high": Cell(value=difference.high),
    }


def printed_notes(rows: Mapping[str, PaperRow]) -> list[str]:
    """Say where the paper's figures come from, and which of them are not comparable.

    Args:
        rows: the name that a table gives a model -> the row of the paper that stands beside it.
    """
    if not rows:
        return []
    test_sets = ", ".join(dict.fromkeys(row.test_set for row in rows.values()))
    notes = [f"Printed: {source()}, on {test_sets}."]
    return notes + [f"{name}, printed: {row.note}." for name, row in rows.items() if row.note]
