"""Heat maps of what methods log beside their losses: attention over layers, gates, shares of selected patches.

The matrices of a method come from ``figures.jsonl`` of a run, which has a record for each step that was logged:
``step``, ``name`` (``kd/abc/attention``), ``rows``, ``columns``, ``values`` [rows][columns], and ``axes``, the names of
both axes where they are known. The last record is drawn with its figures; small pictures show the steps before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from sordino.report.pages import parts
from sordino.report.pages.drawing import inline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Record = Mapping[str, Any]

COLOUR_MAP = "viridis"
STEPS = 6  # small pictures of a training, at most
ACROSS = 3
WIDTH = 4.2  # of a picture, in inches
LETTER = 0.058  # width of one in a cell, in inches; those of the labels are a fifth wider
NOTE = (
    "What methods log beside their losses: above, the last matrix with its figures; below, the same over the training, "
    "with rows and columns in the same order. All pictures of one matrix share their colours, from 0 or less to its "
    "highest figure."
)


def heat_maps(tables: Mapping[str, Sequence[Record]]) -> str:
    """Draw all matrices of all runs as a section's HTML; empty when there are none.

    Args:
        tables: run name to the run's records in the order of their steps.
    """
    cards = []
    for run, records in tables.items():
        by_name: dict[str, list[Record]] = {}
        for record in records:
            by_name.setdefault(record["name"], []).append(record)
        for name, own in by_name.items():
            cards.append(_card(f"{run}: {name}", own))
    if not cards:
        return ""
    return f'<p class="note">{NOTE}</p>\n{parts.grid(cards)}'


def evenly(records: Sequence[Record]) -> list[Record]:
    """Return ``STEPS`` records from the first to the last, evenly apart; all when there are no more."""
    places = np.linspace(0, len(records) - 1, min(STEPS, len(records)))
    return [records[place] for place in places.round().astype(int)]


def _card(name: str, records: Sequence[Record]) -> str:
    """Draw the last record, and below it the training's course if there is more than one record."""
    every = np.array([record["values"] for record in records], float)
    span = min(0.0, float(every.min())), float(every.max())
    last, shown = records[-1], evenly(records)
    rows = len(last["rows"])
    size = (WIDTH, 1.1 + 0.23 * rows)
    pictures = [inline(lambda figure: _draw_last(figure, last, span), _label(name, last), size)]
    if len(shown) > 1:
        steps = ", ".join(str(record["step"]) for record in shown)
        label = f"{name} at the steps {steps}"
        size = (WIDTH, _down(shown) * (0.35 + max(0.5, 0.1 * rows)))
        pictures.append(inline(lambda figure: _draw_course(figure, shown, span), label, size))
    return parts.figure(f"{name}, step {last['step']}", *pictures)


def _down(records: Sequence[Record]) -> int:
    """Return the rows of small pictures that the records take."""
    return math.ceil(len(records) / ACROSS)


def _label(name: str, record: Record) -> str:
    """Describe a heat map for those who do not see it: the highest column of each row."""
    highest = []
    for row, values, figures in zip(record["rows"], record["values"], _written(record["values"]), strict=True):
        column = int(np.argmax(values))
        highest.append(f"{row}: {record['columns'][column]} {figures[column]}")
    return f"{name} at step {record['step']}, the highest of each row: {'; '.join(highest)}"


def _written(values: Sequence[Sequence[float]]) -> list[list[str]]:
    """Format a matrix: two decimals where its largest value suits them, else two significant digits."""
    form = ".2f" if 0.1 <= np.abs(values).max() < 100 else ".2g"
    written = []
    for row in values:
        written.append([format(value, form) for value in row])
    return written


def _draw_last(figure: Figure, record: Record, span: tuple[float, float]) -> None:
    """Draw one matrix with the names of its rows and columns, and its figures if they fit into the cells."""
    axes = figure.add_subplot()
    image = _heat(axes, record, span)
    rows, columns = record["rows"], record["columns"]
    upright = sum(map(len, columns)) * 1.2 * LETTER < WIDTH - 1.8
    axes.set_xticks(range(len(columns)), columns, rotation=0 if upright else 90)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, labelsize=8)
    across, down = reversed(record.get("axes", ("", "")))
    axes.set(xlabel=across, ylabel=down)
    figure.colorbar(image).ax.tick_params(labelsize=8)
    written = _written(record["values"])
    room = (WIDTH - 1.2 - max(map(len, rows)) * 1.2 * LETTER) / len(columns)
    longest = max(map(len, chain.from_iterable(written)))
    if longest * LETTER > room:
        return
    for (row, column), value in np.ndenumerate(record["values"]):
        dark = value < span[0] + 0.6 * (span[1] - span[0])
        axes.text(column, row, written[row][column], size=7, ha="center", va="center", color="w" if dark else "k")


def _draw_course(figure: Figure, records: Sequence[Record], span: tuple[float, float]) -> None:
    """Draw small pictures of one matrix, step by step."""
    places = list(figure.subplots(_down(records), ACROSS, squeeze=False).flat)
    for axes in places:
        axes.set_axis_off()
    for axes, record in zip(places, records, strict=False):
        axes.set_axis_on()
        _heat(axes, record, span)
        axes.set_title(f"step {record['step']}", size=8)
        axes.set(xticks=[], yticks=[])


def _heat(axes: Axes, record: Record, span: tuple[float, float]) -> AxesImage:
    # Without interpolation the SVG keeps one pixel for each figure, and the browser enlarges it.
    return axes.imshow(record["values"], COLOUR_MAP, aspect="auto", interpolation="none", vmin=span[0], vmax=span[1])
