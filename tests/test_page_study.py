"""The page of a study: the figures that it was given, and nothing from outside."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from helpers.html import labels, whole
from sordino.evaluation.score import Scores
from sordino.report.columns import SYNTHETIC
from sordino.report.pages.study import write_study
from sordino.report.pages.study_plots import draw_curves, draw_metric
from sordino.report.studies import StudyRow, study_rows
from sordino.report.study_cells import StudyCell
from sordino.report.study_tables import study_tables

# Studies


def scores(value: float, **more: Any) -> Scores:
    rows = [{"id": str(index), "pesq_wb": value + index, "stoi": value / 10} for index in range(3)]
    return Scores(rows, ("pesq_wb", "stoi"), **more)


@pytest.fixture
def study() -> list[StudyRow]:
    found = {
        StudyCell("", "noisy"): [scores(1.0)],
        StudyCell("", "teacher"): [scores(9.0)],
        StudyCell("wide", "none"): [scores(1.5), scores(1.7)],
        StudyCell("wide", "kd & more"): [scores(1.8), scores(2.0), scores(2.5)],
        StudyCell("narrow", "none"): [scores(1.2)],
    }
    return study_rows(found, "none")


def points(line: Line2D) -> list[tuple[float, float]]:
    """What a line goes through."""
    return [(x, y) for x, y in np.asarray(line.get_xydata()).tolist()]


def test_a_plot_shows_means_deviations_and_seeds(study: list[StudyRow]) -> None:
    figure = Figure()
    draw_metric(figure, study, "stoi", "none")
    wide, narrow = figure.axes
    assert [label.get_text() for label in wide.get_yticklabels()] == ["none", "kd & more"]
    assert [label.get_text() for label in narrow.get_yticklabels()] == ["none"]
    assert [axes.get_title("left") for axes in (wide, narrow)] == ["wide", "narrow"]
    assert narrow.get_xlabel() == "STOI (%), higher is better"
    for axes, shown in ((wide, study[2:4]), (narrow, study[4:])):
        for row, (line, bar) in enumerate(zip(shown, axes.containers, strict=True)):
            assert isinstance(bar, ErrorbarContainer)
            spread = line.spreads["stoi"]
            dot, _, bars = bar.lines
            assert points(dot) == [pytest.approx((100 * spread.mean, row))]
            if spread.std is None:
                assert not bars
                continue
            ends = [100 * (spread.mean - spread.std), 100 * (spread.mean + spread.std)]
            assert [x for x, _ in bars[0].get_segments()[0]] == pytest.approx(ends)
    seeds = [[x for x, _ in points(one)] for one in wide.lines if one.get_marker() == "."]
    assert seeds == [pytest.approx([15, 17]), pytest.approx([18, 20, 25])]
    # The noisy input is near and a line in both panels; the teacher is far off, and a note says so.
    for axes in (wide, narrow):
        (noisy,) = [one for one in axes.lines if one.get_linestyle() == ":" and points(one)]
        assert points(noisy)[0][0] == pytest.approx(10)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["noisy, 10.0", "teacher, 90.0, off the scale"]


def test_lines_keep_the_mean_of_each_seed(study: list[StudyRow]) -> None:
    assert study[3].by_seed["pesq_wb"] == pytest.approx([2.8, 3.0, 3.5])
    assert study[3].spreads["pesq_wb"].mean == pytest.approx(3.1)


def test_the_page_of_a_study_has_its_table_and_a_plot_for_each_metric(study: list[StudyRow], tmp_path: Path) -> None:
    write_study(tmp_path, "Mismatch & more", {"here": study}, "none", synthetic=True)
    text = (tmp_path / "study.html").read_text("utf-8")
    reader = whole(text)
    assert "<title>Mismatch &amp; more</title>" in text
    assert f'<p class="banner" role="note">{SYNTHETIC}</p>' in text
    (table,) = study_tables({"": study}, "none")
    written = table.to_markdown().partition("\n\n")[0].splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in written]
    assert [unescape(cell) for cell in re.findall(r'<th scope="col">(.*?)</th>', text)] == header[1:]
    assert re.findall(r'scope="rowgroup">(.*?)</th>', text) == ["wide", "narrow"]
    shown = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r'<tr><th scope="row">.*?</tr>', text)]
    shown = [[unescape(re.sub("<small>(.*)</small>", r" \1", cell)) for cell in row] for row in shown]
    assert shown == [row[1:] for row in rows]
    assert len(shown) == len(study)
    assert [label.partition(" of each method")[0] for label in labels(reader)] == ["PESQ-wb", "STOI (%)"]
    assert "#010203" not in text

    for column in ("pesq_wb", "stoi"):
        plot = (tmp_path / f"plot-{column}.svg").read_text("utf-8")
        root = ElementTree.fromstring(plot)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "<!-- kd &amp; more -->" in plot or "<!-- kd & more -->" in plot
        assert "currentColor" not in plot
        assert "#010203" not in plot
        colours = set(re.findall(r"#[0-9a-f]{6}\b", plot))
        assert "#000000" in colours
        assert "#ffffff" in colours  # the ground, without which a dark page hides the plot
        assert colours <= {"#000000", "#ffffff", "#b0b0b0"}  # the grid's grey

    write_study(tmp_path / "real", "Real", {"here": study}, "none", synthetic=False)
    assert 'class="banner"' not in (tmp_path / "real" / "study.html").read_text("utf-8")
    assert not (tmp_path / "plot-learning.svg").exists()


CURVES = {
    StudyCell("wide", "none"): [[(2, 1.1), (4, 1.3)], [(2, 1.2), (4, 1.25)]],
    StudyCell("wide", "kd"): [[(2, 1.4), (4, 1.5)]],
    StudyCell("narrow", "kd"): [[(2, 1.0)], []],
}


def test_learning_curves_are_those_of_every_run() -> None:
    figure = Figure()
    draw_curves(figure, CURVES)
    wide, narrow = figure.axes
    assert [points(line) for line in wide.lines if points(line)] == [
        *map(list, CURVES[StudyCell("wide", "none")]),
        *CURVES[StudyCell("wide", "kd")],
    ]
    assert [points(line) for line in narrow.lines if points(line)] == [[(2, 1.0)]]
    none, again, kd = (line for line in wide.lines if points(line))
    assert none.get_color() == again.get_color() != kd.get_color() == narrow.lines[0].get_color()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["none", "kd"]


def test_each_test_set_has_its_table_and_plots(study: list[StudyRow], tmp_path: Path) -> None:
    found = {"Here & now": study, "There": study[:3]}
    write_study(tmp_path, "Two", found, "none", synthetic=False, curves=CURVES)
    text = (tmp_path / "study.html").read_text("utf-8")
    reader = whole(text)
    assert [unescape(heading) for heading in re.findall("<h2>(.*?)</h2>", text)] == [
        "Results: Here & now",
        "Methods: Here & now",
        "Results: There",
        "Methods: There",
        "Learning curves",
    ]
    assert len(labels(reader)) == 5
    names = {"plot-pesq_wb.svg", "plot-stoi.svg", "plot-there-pesq_wb.svg", "plot-there-stoi.svg", "plot-learning.svg"}
    assert {path.name for path in tmp_path.glob("*.svg")} == names
