"""The page of a study: for each test set its table and a plot of each metric, and the learning curves of all runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path

from sordino.files import slug, write_text
from sordino.metrics import look_of
from sordino.report.pages import parts
from sordino.report.pages.drawing import inline, standalone
from sordino.report.pages.study_plots import NOTE, WIDTH, Curves, draw_curves, draw_metric, plot_height
from sordino.report.studies import StudyRow
from sordino.report.study_tables import shown_metrics, study_tables

_LEARNING = "PESQ on the validation recordings over training steps"


def write_study(
    folder: str | Path,
    title: str,
    tests: Mapping[str, Sequence[StudyRow]],
    against: str | None,
    synthetic: bool,
    curves: Curves | None = None,
    note: str = "",
) -> None:
    """Write ``study.html``, a plot for each metric such as ``plot-pesq_wb.svg``, and ``plot-learning.svg``.

    Args:
        folder: where to; the plots of a second and third test set have its name in theirs.
        title: heading of the page.
        tests: test set to rows of the study; those without a scenario hold for all of them.
        against: the method that the others are compared with.
        synthetic: whether the data is; a banner says so.
        curves: the runs' learning curves.
        note: a further remark above each table.

    Raises:
        InputError: a file cannot be written.
    """
    folder = Path(folder)
    sections: dict[str, str] = {}
    for index, (name, rows) in enumerate(tests.items()):
        plots = _plots(folder / (f"plot-{slug(name)}" if index else "plot"), title, rows, against)
        suffix = f": {escape(name)}" if len(tests) > 1 else ""
        (table,) = study_tables({name: rows}, against, note=note)
        sections[f"Results{suffix}"] = table.to_html()
        sections[f"Methods{suffix}"] = f'<p class="note">{NOTE}</p>\n{parts.grid(plots)}' if plots else ""
    if curves:
        sections["Learning curves"] = _learning_curves(folder / "plot-learning.svg", title, curves)
    write_text(folder / "study.html", parts.page(title, sections, synthetic))


def _plots(start: Path, title: str, rows: Sequence[StudyRow], against: str | None) -> list[str]:
    """Draw each metric, for the page and as a file whose name begins with that of ``start``; returns the former."""
    plots = []
    for column in shown_metrics([row for row in rows if row.cell.scenario]):
        metric, size = look_of(column), (WIDTH, plot_height(rows, column))
        label = f"{metric.label} of each method, mean and standard deviation over seeds; the table has the figures"
        draw = partial(draw_metric, rows=rows, column=column, against=against)
        plots.append(parts.figure(metric.label, inline(draw, label, size)))
        write_text(
            start.with_name(f"{start.name}-{column.replace(':', '-')}.svg"),
            standalone(draw, f"{title}: {metric.label}", size),
        )
    return plots


def _learning_curves(path: Path, title: str, curves: Curves) -> str:
    """Draw the learning curves, for the page and as a file at ``path``; returns the former."""
    scenarios, methods = (set(names) for names in zip(*curves, strict=True))
    size = (WIDTH, 0.9 + 2.0 * len(scenarios) + 0.06 * len(methods))
    draw = partial(draw_curves, curves=curves)
    write_text(path, standalone(draw, f"{title}: {_LEARNING}", size))
    return parts.figure(f"{_LEARNING}, a line for each run", inline(draw, _LEARNING, size))
