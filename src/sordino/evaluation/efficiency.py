"""What models cost, side by side: the efficiency half of the MV-AT paper's Table 1, and what it leaves out.

The table holds the parameters and FLOPs that the paper prints, ours beside the printed ones, and then the honest
figures: multiply-accumulates of every operation per second of audio, real-time factor and peak memory on this machine.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from sordino.errors import InputError
from sordino.evaluation.cost import macs_per_second, paper_flops
from sordino.evaluation.speed import RealTimeFactor
from sordino.metrics import Column
from sordino.models.base import Enhancer, count_parameters
from sordino.report.paper import PaperRow, source
from sordino.report.runs import SIZES, Style, grid

_COLUMNS = SIZES | {
    "macs_per_second": Column("MACs (G/s)", 2, 1e-9, higher_is_better=False),
    "real_time_factor": Column("Real-time factor", 3, higher_is_better=False),
    "peak_memory_bytes": Column("Memory (MiB)", 0, 2**-20, higher_is_better=False),
}


@dataclass(frozen=True)
class Cost:
    """What one model costs. None stands for what is unknown or was not measured, never for zero."""

    name: str
    arguments: dict[str, Any] | None = None
    """What the network was built from; None where the model is no network of sordino's."""
    parameters: int | None = None
    flops_paper: float | None = None
    """Floating-point operations on 4 s of audio as the MV-AT paper counts them."""
    macs_per_second: float | None = None
    """Multiply-accumulates per second of audio, every operation counted."""
    file_bytes: int | None = None
    """Size of the model's file; None where it is in none."""
    speed: RealTimeFactor | None = None
    peak_memory_bytes: int | None = None


class Line(NamedTuple):
    """One model of the table, and the published row that it reproduces."""

    title: str
    cost: Cost
    printed: PaperRow | None = None


def count(network: Enhancer, seconds: float = 4.0) -> Cost:
    """What can be told of a network without running it.

    Args:
        network: left as it is.
        seconds: of audio on which multiply-accumulates are counted; attention costs more of them on longer signals.
    """
    return Cost(
        name=network.name,
        arguments=network.arguments,
        parameters=count_parameters(network),
        flops_paper=paper_flops(network),
        macs_per_second=macs_per_second(network, seconds),
    )


def table(lines: Sequence[Line], style: Style = "text") -> str:
    """Write the lines as one table, the printed figures beside ours.

    Args:
        lines: in the order to be shown.
        style: ``text`` (aligned), ``markdown``, ``latex`` (booktabs) or ``csv`` (unrounded, base units).

    Raises:
        InputError: there are no lines.
    """
    if not lines:
        raise InputError("bench", "there is nothing to show", "one or more models")
    rows = [_figures(line) for line in lines]
    shown = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    if style == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["name", *shown])
        writer.writerows([line.title, *(row[name] for name in shown)] for line, row in zip(lines, rows, strict=True))
        return out.getvalue()
    looks = {name: _COLUMNS[name.removesuffix("_printed")] for name in shown}
    header = [f"{look.label}, printed" if name.endswith("_printed") else look.label for name, look in looks.items()]
    cells = [[look.show(row[name]) for name, look in looks.items()] for row in rows]
    return grid(["Model", *header], [[line.title, *row] for line, row in zip(lines, cells, strict=True)], style)


def notes(lines: Sequence[Line], seconds: float) -> list[str]:
    """What a reader of the table must know: where figures come from, and which are not to be compared.

    Args:
        lines: those of the table.
        seconds: of audio that they were measured on.
    """
    told = ["FLOPs, paper: on 4 s, as the MV-AT paper counts them.", f"MACs: every operation, on {seconds:g} s."]
    clocked = [line.cost.speed for line in lines if line.cost.speed is not None]
    if clocked:
        how = f"{clocked[0].repeats} pass(es) over {seconds:g} s on {clocked[0].threads} thread(s) of this machine"
        told.append(f"Real-time factor: the median of {how}; memory: what one pass takes beside the weights.")
    if any(line.printed for line in lines):
        told.append(f"Printed: {source()}.")
    printed = [(line.title, line.printed.note) for line in lines if line.printed]
    return told + [f"{title}, printed: {note}." for title, note in printed if note]


def as_json(line: Line) -> dict[str, Any]:
    """A line as plain values; of the published row its name, its sizes and what to mind about them."""
    row = line.printed
    printed = row and {"name": row.name, "note": row.note, **{size: getattr(row, size) for size in SIZES}}
    return {"title": line.title, **asdict(line.cost), "printed": printed}


def _figures(line: Line) -> dict[str, float | None]:
    """All figures of a line by column, in the table's order."""
    cost = line.cost
    ours = {
        "params": cost.parameters,
        "flops_paper": cost.flops_paper,
        "macs_per_second": cost.macs_per_second,
        "real_time_factor": None if cost.speed is None else cost.speed.median,
        "peak_memory_bytes": cost.peak_memory_bytes,
    }
    figures: dict[str, float | None] = {}
    for name, figure in ours.items():
        figures[name] = figure
        if name in SIZES:
            figures[f"{name}_printed"] = None if line.printed is None else getattr(line.printed, name)
    return figures
