"""Pages: well formed, whole without the network, and showing the figures that they were given."""

from __future__ import annotations

import base64
import io
import re
import wave
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D

from sotto import models, recipes
from sotto.comparison import NOISY_SCORES, compare
from sotto.errors import InputError
from sotto.evaluate import Scores, paper
from sotto.evaluate.page import Example, write_page
from sotto.evaluate.page_methods import evenly, heat_maps
from sotto.evaluate.page_study import draw, write_study
from sotto.evaluate.report import SYNTHETIC, Result
from sotto.evaluate.spread import Cell, Line, cells, lines
from sotto.train import read_log
from sotto.train.log import FIGURES

RESULTS = [
    Result("MANNER-S-1.5GF + MV-AT", {"pesq_wb": 2.9412}, {"pesq_wb": (2.9, 2.98)}, n=824, params=262_000),
    Result("50% & more_", {"pesq_wb": 2.0}, n=824),
    Result("noisy", {"pesq_wb": 1.97}, n=824),
]


class Reader(HTMLParser):
    """Collects elements and checks that every one is closed."""

    VOID = {"meta", "link", "br", "img"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def whole(page: str) -> Reader:
    """Read a page, which must be well formed, ask for nothing from outside, and name all that is not text."""
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert page.startswith("<!DOCTYPE html>")
    names = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(names) == len(set(names))
    for tag, attributes in reader.elements:
        assert tag not in ("script", "link", "iframe")
        for key in ("src", "href", "xlink:href"):
            assert re.match(r"data:|#", attributes.get(key) or "#"), attributes[key]
        if tag in ("svg", "audio"):
            assert attributes["aria-label"]
    assert not re.search(r"url\((?!#)|@import", page)
    inner = {name for found in re.findall(r"url\(#([^)]*)\)|href=\"#([^\"]*)\"", page) for name in found if name}
    assert inner <= set(names)
    return reader


def labels(reader: Reader) -> list[str]:
    """What the figures of a page are called for those who do not see them."""
    return [attributes["aria-label"] or "" for tag, attributes in reader.elements if tag == "svg"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    random = np.random.default_rng(0)
    waves = {
        name: (scale * random.standard_normal(4000)) for name, scale in (("noisy", 0.5), ("clean", 0.1), ("A<B", 0.1))
    }
    examples: list[Example] = [{"id": f"p_{index}", "sample_rate": 16000, "waves": waves} for index in range(2)]
    curves = {
        "alone": [{"step": step, "loss": 1 / (1 + step), "rate": 1e-3} for step in range(1000)],
        "taught": [
            {"step": step, "loss": 0.9, "kd/mvat": 0.1, "valid/pesq_wb": 2.0, "valid/note": "x"}
            for step in range(0, 1000, 100)
        ],
    }
    path = tmp_path_factory.mktemp("page") / "results.html"
    write_page(path, "Ours & <theirs>", [*RESULTS, Result("A<B", {"pesq_wb": 1.5})], curves, examples, synthetic=True)
    return path.read_text(encoding="utf-8")


def test_the_page_shows_every_model_curve_and_player(page: str) -> None:
    reader = whole(page)
    assert "<title>Ours &amp; &lt;theirs&gt;</title>" in page
    assert SYNTHETIC in page
    for result in RESULTS:
        assert f'<th scope="row">{result.name.replace("&", "&amp;")}</th>' in page
    assert "<small>[2.90, 2.98]</small>" in page
    players = [attributes["aria-label"] for tag, attributes in reader.elements if tag == "audio"]
    assert players == [f"p_{index}, {name}" for index in range(2) for name in ("noisy", "clean", "A<B")]
    figures = labels(reader)
    assert sum(label.startswith("Spectrogram") for label in figures) == 6
    curves = [label for label in figures if "training steps" in label]
    assert [label.split()[0] for label in curves] == ["loss", "kd/mvat", "valid/pesq_wb"]
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page


def test_players_are_turned_down_together_and_not_clipped(page: str) -> None:
    sounds = [base64.b64decode(data) for data in re.findall(r"data:audio/wav;base64,([^\"]*)", page)][:3]
    levels = []
    for sound in sounds:
        with wave.open(io.BytesIO(sound)) as file:
            assert (file.getframerate(), file.getnframes(), file.getsampwidth()) == (16000, 4000, 2)
            levels.append(np.frombuffer(file.readframes(4000), "<i2").astype(float))
    assert np.abs(levels[0]).max() == 32767
    assert (np.abs(levels[0]) >= 32767).sum() == 1
    assert levels[0].std() / levels[1].std() == pytest.approx(5, rel=0.1)
    assert "turned down by" in page


def test_a_page_of_a_table_alone(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "Plain", RESULTS, paper=paper.results())
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" not in text
    assert "<audio" not in text
    assert 'class="banner"' not in text
    assert "PESQ, printed" in text
    with pytest.raises(InputError, match="has no sound"):
        write_page(tmp_path / "other.html", "", RESULTS, examples=[{"id": "p", "sample_rate": 16000, "waves": {}}])
    assert not (tmp_path / "other.html").exists()


# What methods tell


def record(step: int, values: Any, name: str = "kd/abc/attention", **more: Any) -> dict[str, Any]:
    height, width = np.shape(values)
    rows, columns = ([f"{side}.{layer + 1}" for layer in range(count)] for side, count in (("s", height), ("t", width)))
    return {"step": step, "name": name, "rows": rows, "columns": columns, "values": np.asarray(values).tolist(), **more}


def attention(step: int, height: int = 4, width: int = 5) -> np.ndarray:
    values = np.random.default_rng(step).uniform(size=(height, width)) ** 3
    return values / values.sum(axis=1, keepdims=True)


def written(svg: str) -> list[str]:
    return [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


def pixels(svg: str) -> list[np.ndarray]:
    """The images of a figure as its reader sees them, [rows,columns,RGB]."""
    images = re.findall(r'href="data:image/png;base64,([^"]*)"', svg)
    return [imread(io.BytesIO(base64.b64decode(image)))[..., :3] for image in images]


def test_a_heat_map_shows_the_last_record_and_how_it_came_about() -> None:
    steps = range(100, 1100, 100)
    records = [record(step, attention(step), axes=("student's layers", "teacher's layers")) for step in steps]
    section = heat_maps({"a <b>": records})
    svgs = re.findall(r"<svg .*?</svg>", section, re.DOTALL)
    assert len(svgs) == 2
    assert "a &lt;b&gt;: kd/abc/attention, step 1000" in section
    last = attention(1000)
    texts = written(svgs[0])
    figures = [text for text in texts if re.fullmatch(r"0\.\d\d", text)]
    assert figures == [f"{value:.2f}" for value in last.flatten()]
    assert {"s.1", "s.4", "t.1", "t.5", "student's layers", "teacher's layers"} <= set(texts)
    label = unescape(re.findall(r'aria-label="([^"]*)"', svgs[0])[0])
    assert f"s.2: t.{last[1].argmax() + 1} {last[1].max():.2f}" in label

    # The small pictures are those of their steps, in the colours of the whole table.
    shown = [int(text.removeprefix("step ")) for text in written(svgs[1])]
    assert shown == [100, 300, 500, 600, 800, 1000]
    top = max(attention(step).max() for step in steps)
    for step, picture in zip(shown, pixels(svgs[1]), strict=True):
        assert picture.shape == (4, 5, 3)
        assert np.allclose(picture, matplotlib.colormaps["viridis"](attention(step) / top)[..., :3], atol=0.01)


def test_heat_maps_of_all_runs_and_methods_make_a_page_that_is_whole(tmp_path: Path) -> None:
    tables = {
        "one": [record(1, attention(1)), record(2, attention(2)), record(2, [[12345.0], [0.001]], "kd/factor/parts")],
        "two": [record(5, attention(5, 30, 30), "kd/afd/attention")],
        "none": [],
    }
    write_page(tmp_path / "page.html", "Runs", RESULTS, tables=tables)
    text = (tmp_path / "page.html").read_text("utf-8")
    assert [label.partition(",")[0] for label in labels(whole(text))] == [
        "one: kd/abc/attention at step 2",
        "one: kd/abc/attention at the steps 1",
        "one: kd/factor/parts at step 2",
        "two: kd/afd/attention at step 5",
    ]
    assert {"1.2e+04", "0.001"} <= set(written(text))
    # Figures that do not fit into their cells are not printed.
    large = re.findall(r"<svg .*?</svg>", text, re.DOTALL)[3]
    assert len(written(large)) < 80
    assert heat_maps({"none": []}) == ""


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (5, [0, 1, 2, 3, 4]), (11, [0, 2, 4, 6, 8, 10])])
def test_steps_shown_are_evenly_apart(count: int, expected: list[int]) -> None:
    assert [one["step"] for one in evenly([{"step": step} for step in range(count)])] == expected


def test_a_report_says_whose_layers_share_out_attention(tmp_path: Path) -> None:
    torch.manual_seed(1)
    models.save(models.create("unet", width=6, depth=2, groups=1), tmp_path / "teacher.safetensors")
    recipe = {
        "title": "taught",
        "data": {"name": "synthetic", "segment_s": 0.5, "valid_items": 2},
        "model": {"name": "unet", "width": 4, "depth": 1, "groups": 1},
        "loss": {"l1": {}},
        "teacher": {"checkpoint": str(tmp_path / "teacher.safetensors")},
        "distill": {"abc": {"attention": "afd"}, "alp": {}, "bounded": {}},
        "train": {"steps": 3, "batch_size": 2, "log_every": 1, "accelerator": "cpu", "workers": 0, "threads": 1},
    }
    run = tmp_path / "run"
    best = recipes.train(recipe, out=run).checkpoint
    recipes.evaluate(best, metrics=("si_sdr_db",), out=run, workers=0)
    noisy = recipes.evaluate(recipes.NOISY, recipe=run / recipes.RECIPE, metrics=("si_sdr_db",), workers=0)
    noisy.to_json(run / NOISY_SCORES)
    compare([run], tmp_path / "report.html", examples=0)
    text = (tmp_path / "report.html").read_text("utf-8")
    whole(text)
    last = {one["name"]: one for one in read_log(run, FIGURES)}
    heat = [svg for svg in re.findall(r"<svg .*?</svg>", text, re.DOTALL) if "the highest of each row" in svg]
    assert len(heat) == len(last) == 3
    for svg, name in zip(heat, last, strict=True):
        texts, table = written(svg), last[name]
        assert name in svg
        figures = [f"{value:.2f}" for row in table["values"] for value in row]
        assert [text for text in texts if re.fullmatch(r"\d\.\d\d", text)][: len(figures)] == figures
        whose = [text for text in texts if text.endswith("'s layers")]
        assert whose == {
            "kd/abc/attention": ["student's layers", "teacher's layers"],  # columns before rows
            "kd/alp/attention": ["teacher's layers", "student's layers"],
            "kd/bounded/bound": [],
        }.get(name)


# Studies


def scores(value: float, **more: Any) -> Scores:
    rows = [{"id": str(index), "pesq_wb": value + index, "stoi": value / 10} for index in range(3)]
    return Scores(rows, ("pesq_wb", "stoi"), **more)


@pytest.fixture
def study() -> list[Line]:
    found = {
        Cell("", "noisy"): [scores(1.0)],
        Cell("", "teacher"): [scores(9.0)],
        Cell("wide", "none"): [scores(1.5), scores(1.7)],
        Cell("wide", "kd & more"): [scores(1.8), scores(2.0), scores(2.5)],
        Cell("narrow", "none"): [scores(1.2)],
    }
    return lines(found, "none")


def points(line: Line2D) -> list[tuple[float, float]]:
    """What a line goes through."""
    return [(x, y) for x, y in np.asarray(line.get_xydata()).tolist()]


def test_a_plot_shows_means_deviations_and_seeds(study: list[Line]) -> None:
    figure = Figure()
    draw(figure, study, "stoi", "none")
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
            ends = [100 * (spread.mean - spread.std), 100 * (spread.mean + spread.std)]
            assert [x for x, _ in bars[0].get_segments()[0]] == pytest.approx(ends) if spread.n > 1 else not bars
    seeds = [[x for x, _ in points(one)] for one in wide.lines if one.get_marker() == "."]
    assert seeds == [pytest.approx([15, 17]), pytest.approx([18, 20, 25])]
    # The noisy input is near and a line in both panels; the teacher is far off, and told.
    for axes in (wide, narrow):
        (noisy,) = [one for one in axes.lines if one.get_linestyle() == ":" and points(one)]
        assert points(noisy)[0][0] == pytest.approx(10)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["noisy, 10.0", "teacher, 90.0, off the scale"]


def test_lines_keep_the_mean_of_each_seed(study: list[Line]) -> None:
    assert study[3].by_seed["pesq_wb"] == pytest.approx([2.8, 3.0, 3.5])
    assert study[3].spreads["pesq_wb"].mean == pytest.approx(3.1)


def test_the_page_of_a_study_has_its_table_and_a_plot_for_each_metric(study: list[Line], tmp_path: Path) -> None:
    write_study(tmp_path, "Mismatch & more", study, "none", synthetic=True)
    text = (tmp_path / "study.html").read_text("utf-8")
    reader = whole(text)
    assert "<title>Mismatch &amp; more</title>" in text
    assert f'<p class="banner" role="note">{SYNTHETIC}</p>' in text
    header, rows = cells(study)
    assert [unescape(cell) for cell in re.findall(r'<th scope="col">(.*?)</th>', text)] == header[1:]
    assert re.findall(r'scope="rowgroup">(.*?)</th>', text) == ["wide", "narrow"]
    shown = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r'<tr><th scope="row">.*?</tr>', text)]
    assert [[unescape(cell) for cell in row] for row in shown] == [row[1:] for row in rows]
    assert [label.partition(" of each method")[0] for label in labels(reader)] == ["PESQ", "STOI (%)"]
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
        assert colours <= {"#000000", "#b0b0b0"}  # the grid's grey

    write_study(tmp_path / "real", "Real", study, "none", synthetic=False)
    assert 'class="banner"' not in (tmp_path / "real" / "study.html").read_text("utf-8")
