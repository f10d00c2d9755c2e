"""The plots of a study: one for each metric, with the methods side by side, and one of the learning curves.

In the plot of a metric a dot is a method's mean over seeds, its bar the standard deviation, and small dots below it the
single seeds. The method that the others are compared with is a diamond, with a faint line at its mean. The noisy input
and the teachers are lines across all scenarios. One that is so far off that the methods would shrink to a point is not
drawn; the legend gives its figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sordino.metrics import look_of
from sordino.report.pages.drawing import INK, line_style
from sordino.report.studies import StudyRow
from sordino.report.study_cells import StudyCell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[StudyCell, Sequence[Sequence[tuple[int, float]]]]
"""What was trained -> its runs, each as (step, PESQ on the validation recordings)."""

WIDTH = 4.2  # of a plot, in inches
REACH = 1.0  # how far from the methods a reference is still drawn, in widths of their range
DOTS = (":", "--", "-.", (0, (6, 2, 1, 2, 1, 2)))  # the lines of references
NOTE = (
    "Dots: means over seeds; bars: standard deviation over seeds; small dots below them: single seeds. The method that "
    "others are compared with is a diamond. Lines: the noisy input and the teachers."
)


def draw_metric(figure: Figure, rows: Sequence[StudyRow], column: str, against: str | None = None) -> None:
    """Draw one metric: a panel for each scenario, a line for each method, and one scale for all.

    Args:
        figure: an empty figure, at best ``plot_height`` high.
        rows: those of the study's table.
        column: the metric.
        against: the method that the others are compared with.
    """
    scenarios, metric = _by_scenario(rows, column), look_of(column)
    heights = [len(methods) for methods in scenarios.values()]
    panels = list(figure.subplots(len(scenarios), 1, sharex=True, squeeze=False, height_ratios=heights).flat)
    for axes, (scenario, methods) in zip(panels, scenarios.items(), strict=True):
        for place, row in enumerate(methods):
            _draw_method(axes, place, row, column, row.cell.method == against)
        axes.set_yticks(range(len(methods)), [row.cell.method for row in methods])
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines[["left", "top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
        if len(scenarios) > 1:
            axes.set_title(scenario, loc="left", size=9, weight="bold")
    references = [row for row in rows if not row.cell.scenario and column in row.spreads]
    _draw_references(figure, panels, references, column)
    panels[-1].set_xlabel(f"{metric.label}, {'higher' if metric.higher_is_better else 'lower'} is better")


def plot_height(rows: Sequence[StudyRow], column: str) -> float:
    """The height in inches that the plot of a metric needs."""
    panels = sum(0.3 + 0.2 * len(methods) for methods in _by_scenario(rows, column).values())
    references = sum(not row.cell.scenario for row in rows)
    return 0.6 + panels + 0.18 * references


def draw_curves(figure: Figure, curves: Curves) -> None:
    """Draw how PESQ on the validation recordings rose: a panel for each scenario, a line style for each method.

    Args:
        figure: an empty figure.
        curves: the runs' learning curves.
    """
    scenarios = list(dict.fromkeys(cell.scenario for cell in curves))
    methods = list(dict.fromkeys(cell.method for cell in curves))
    panels = list(figure.subplots(len(scenarios), 1, sharex=True, sharey=True, squeeze=False).flat)
    for (scenario, method), runs in curves.items():
        axes = panels[scenarios.index(scenario)]
        for points in runs:
            axes.plot(*zip(*points, strict=True), marker=".", linewidth=1, **line_style(methods.index(method)))
    for axes, scenario in zip(panels, scenarios, strict=True):
        axes.grid(alpha=0.25)
        axes.set_ylabel(f"validation {look_of('pesq_wb').label}")
        if len(scenarios) > 1:
            axes.set_title(scenario, loc="left", size=9, weight="bold")
    panels[-1].set_xlabel("step")
    handles = []
    for index, name in enumerate(methods):
        handles += panels[0].plot([], [], label=name, **line_style(index))
    figure.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=8, ncols=3)


def _by_scenario(rows: Sequence[StudyRow], column: str) -> dict[str, list[StudyRow]]:
    """Scenario -> the rows that have the metric."""
    scenarios: dict[str, list[StudyRow]] = {}
    for row in rows:
        if row.cell.scenario and column in row.spreads:
            scenarios.setdefault(row.cell.scenario, []).append(row)
    return scenarios


def _draw_method(axes: Axes, place: int, row: StudyRow, column: str, reference: bool) -> None:
    """Draw one method at a height of ``place``; ``reference`` says whether others are compared with it."""
    scale, spread = look_of(column).scale, row.spreads[column]
    mean = spread.mean * scale
    bar = None
    if reference:
        axes.axvline(mean, color=INK, linewidth=0.6, alpha=0.4, zorder=1)
    if spread.std is not None:
        bar = spread.std * scale
        seeds = [value * scale for value in row.by_seed[column]]
        axes.plot(seeds, [place + 0.3] * len(seeds), ".", color=INK, markersize=3, alpha=0.6, zorder=2)
    axes.errorbar(mean, place, xerr=bar, fmt="D" if reference else "o", color=INK, markersize=4.5, capsize=2, zorder=3)


def _draw_references(figure: Figure, panels: Sequence[Axes], rows: Sequence[StudyRow], column: str) -> None:
    """Draw a line for each reference that is near the methods, and list the figures of all below the plot."""
    metric = look_of(column)
    low, high = panels[0].get_xlim()
    reach = REACH * (high - low)
    handles = []
    for index, row in enumerate(rows):
        value = row.spreads[column].mean
        place = value * metric.scale
        style = {"color": INK, "linewidth": 1, "linestyle": "none"}
        label = f"{row.cell.method}, {metric.show(value)}"
        if low - reach <= place <= high + reach:
            style["linestyle"] = DOTS[index % len(DOTS)]
            for axes in panels:
                axes.axvline(place, **style, zorder=1)
        else:
            label += ", off the scale"
        handles += panels[0].plot([], [], label=label, **style)
    if handles:
        figure.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=8)
