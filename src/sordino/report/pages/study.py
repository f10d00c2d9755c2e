"""The page of a study: for each test set its table, and for each metric the methods side by side, scenario by scenario;
and how the runs came along.

A dot is a method's mean over seeds, its bar the standard deviation, small dots below it the seeds themselves. The
method that the others are compared with is a diamond, with a faint line at its mean. The noisy input and the teachers
are lines across all scenarios; where one is so far off that the methods would shrink to a point, only its figure is
told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from sordino.files import slug, write_text
from sordino.metrics import COLUMNS
from sordino.report.pages import parts
from sordino.report.pages.drawing import INK, inline, line_style, standalone
from sordino.report.runs import Cell
from sordino.report.studies import Cell as Trained
from sordino.report.studies import Line, cells, notes, outer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[Trained, Sequence[Sequence[tuple[int, float]]]]
"""What was trained to its runs, each as (step, PESQ on the validation recordings)."""

WIDTH = 4.2  # of a plot, in inches
REACH = 1.0  # how far from the methods a reference is still drawn, in widths of their range
DOTS = (":", "--", "-.", (0, (6, 2, 1, 2, 1, 2)))  # the lines of references
NOTE = (
    "Dots: means over seeds; bars: standard deviation over seeds; small dots below them: single seeds. The method that "
    "others are compared with is a diamond. Lines: the noisy input and the teachers."
)


def write_study(
    folder: str | Path,
    title: str,
    found: Mapping[str, Sequence[Line]],
    against: str | None,
    synthetic: bool,
    curves: Curves | None = None,
    note: str = "",
) -> None:
    """Write ``study.html``, ``plot-pesq_wb.svg`` and the like for the other metrics, and ``plot-learning.svg``.

    Args:
        folder: where to; the plots of further test sets have their name in theirs.
        title: heading of the page.
        found: test set to lines of the study; those without a scenario are references.
        against: the method that the others are compared with.
        synthetic: whether the data is; a banner says so.
        curves: the runs' learning curves.
        note: a further remark below each table.

    Raises:
        InputError: a file cannot be written.
    """
    folder, sections = Path(folder), {}
    for index, (name, lines) in enumerate(found.items()):
        plots = _plots(folder / (f"plot-{slug(name)}" if index else "plot"), title, lines, against)
        of = f": {escape(name)}" if len(found) > 1 else ""
        sections[f"Results{of}"] = _table(lines, against, note)
        sections[f"Methods{of}"] = f'<p class="note">{NOTE}</p>\n{parts.grid(plots)}' if plots else ""
    if curves:
        panels, methods = (len(set(names)) for names in zip(*curves, strict=True))
        size = (WIDTH, 0.9 + 2.0 * panels + 0.06 * methods)
        plot, label = partial(draw_curves, curves=curves), "PESQ on the validation recordings over training steps"
        sections["Learning curves"] = parts.figure(f"{label}, a line for each run", inline(plot, label, size))
        write_text(folder / "plot-learning.svg", standalone(plot, f"{title}: {label}", size))
    write_text(folder / "study.html", parts.page(title, sections, synthetic))


def _plots(start: Path, title: str, found: Sequence[Line], against: str | None) -> list[str]:
    """A figure for each metric, for the page and, under names that begin with ``start``, as files."""
    plots = []
    for column in outer([line for line in found if line.cell.scenario]):
        metric, size = COLUMNS[column], (WIDTH, _height(found, column))
        label = f"{metric.label} of each method, mean and standard deviation over seeds; the table has the figures"
        plot = partial(draw, found=found, column=column, against=against)
        plots.append(parts.figure(metric.label, inline(plot, label, size)))
        write_text(start.with_name(f"{start.name}-{column}.svg"), standalone(plot, f"{title}: {metric.label}", size))
    return plots


def draw_curves(drawn: Figure, curves: Curves) -> None:
    """Draw how PESQ on the validation recordings rose: a panel for each scenario, a look for each method.

    Args:
        drawn: an empty figure.
        curves: the runs' learning curves.
    """
    scenarios, methods = (list(dict.fromkeys(names)) for names in zip(*curves, strict=True))
    panels = list(drawn.subplots(len(scenarios), 1, sharex=True, sharey=True, squeeze=False).flat)
    for (scenario, method), runs in curves.items():
        axes = panels[scenarios.index(scenario)]
        for points in runs:
            axes.plot(*zip(*points, strict=True), marker=".", linewidth=1, **line_style(methods.index(method)))
    for axes, scenario in zip(panels, scenarios, strict=True):
        axes.grid(alpha=0.25)
        axes.set_ylabel(f"validation {COLUMNS['pesq_wb'].label}")
        if len(scenarios) > 1:
            axes.set_title(scenario, loc="left", size=9, weight="bold")
    panels[-1].set_xlabel("step")
    handles = [
        handle
        for index, name in enumerate(methods)
        for handle in panels[0].plot([], [], label=name, **line_style(index))
    ]
    drawn.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=8, ncols=3)


def _table(found: Sequence[Line], against: str | None, note: str) -> str:
    """The table of ``spread.cells`` with scenarios as headings instead of a column."""
    header, rows = cells(found)
    groups: dict[str, list[list[Cell]]] = {}
    for scenario, *row in rows:
        groups.setdefault(scenario, []).append([Cell(text) for text in row])
    return parts.table(header[1:], groups, "Table of the study", notes(found, against, note))


def draw(drawn: Figure, found: Sequence[Line], column: str, against: str | None = None) -> None:
    """Draw one metric: a panel for each scenario, a row for each method, and one scale for all.

    Args:
        drawn: an empty figure, at best as high as the plots of ``write_study``.
        found: lines of the study.
        column: the metric.
        against: the method that the others are compared with.
    """
    shown, look = _panels(found, column), COLUMNS[column]
    heights = [len(lines) for lines in shown.values()]
    panels = list(drawn.subplots(len(shown), 1, sharex=True, squeeze=False, height_ratios=heights).flat)
    for axes, (scenario, lines) in zip(panels, shown.items(), strict=True):
        for row, line in enumerate(lines):
            _method(axes, row, line, column, line.cell.method == against)
        axes.set_yticks(range(len(lines)), [line.cell.method for line in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines[["left", "top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
        if len(shown) > 1:
            axes.set_title(scenario, loc="left", size=9, weight="bold")
    _references(drawn, panels, [line for line in found if not line.cell.scenario and column in line.spreads], column)
    panels[-1].set_xlabel(f"{look.label}, {'higher' if look.higher_is_better else 'lower'} is better")


def _panels(found: Sequence[Line], column: str) -> dict[str, list[Line]]:
    """Scenario to the lines that have the metric."""
    shown: dict[str, list[Line]] = {}
    for line in found:
        if line.cell.scenario and column in line.spreads:
            shown.setdefault(line.cell.scenario, []).append(line)
    return shown


def _height(found: Sequence[Line], column: str) -> float:
    """Of a plot in inches."""
    shown = _panels(found, column)
    references = sum(not line.cell.scenario for line in found)
    return 0.6 + sum(0.3 + 0.2 * len(lines) for lines in shown.values()) + 0.18 * references


def _method(axes: Axes, row: int, line: Line, column: str, compared: bool) -> None:
    scale, spread = COLUMNS[column].scale, line.spreads[column]
    mean = spread.mean * scale
    if compared:
        axes.axvline(mean, color=INK, linewidth=0.6, alpha=0.4, zorder=1)
    if spread.n > 1:
        seeds = [value * scale for value in line.by_seed[column]]
        axes.plot(seeds, [row + 0.3] * len(seeds), ".", color=INK, markersize=3, alpha=0.6, zorder=2)
    bar = spread.std * scale if spread.n > 1 else None
    axes.errorbar(mean, row, xerr=bar, fmt="D" if compared else "o", color=INK, markersize=4.5, capsize=2, zorder=3)


def _references(drawn: Figure, panels: Sequence[Axes], lines: Sequence[Line], column: str) -> None:
    """Draw what is near, and tell the figures of all below the plot."""
    look = COLUMNS[column]
    low, high = panels[0].get_xlim()
    reach = REACH * (high - low)
    handles = []
    for index, line in enumerate(lines):
        value = line.spreads[column].mean
        near = low - reach <= value * look.scale <= high + reach
        style = {"color": INK, "linewidth": 1, "linestyle": DOTS[index % len(DOTS)] if near else "none"}
        told = f"{line.cell.method}, {look.show(value)}" + ("" if near else ", off the scale")
        if near:
            for axes in panels:
                axes.axvline(value * look.scale, **style, zorder=1)
        handles += panels[0].plot([], [], label=told, **style)
    if handles:
        drawn.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=8)
