"""Pages: well formed, whole without the network, and showing the figures that they were given."""

from __future__ import annotations

import base64
import io
import re
import wave
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from helpers.html import labels, whole
from helpers.recipes import SOUND, settings
from sordino import models
from sordino.errors import InputError
from sordino.experiments import run as recipes
from sordino.experiments.compare import compare
from sordino.experiments.finished import NOISY_SCORES
from sordino.experiments.run_recipe import RECIPE
from sordino.report import paper
from sordino.report.columns import SYNTHETIC
from sordino.report.pages.methods import evenly, heat_maps
from sordino.report.pages.runs import Example, write_page
from sordino.report.runs import RunRow
from sordino.training import read_log
from sordino.training.log import FIGURES

RESULTS = [
    RunRow("MANNER-S-1.5GF + MV-AT", {"pesq_wb": 2.9412}, {"pesq_wb": (2.9, 2.98)}, n=824, params=262_000),
    RunRow("50% & more_", {"pesq_wb": 2.0}, n=824),
    RunRow("noisy", {"pesq_wb": 1.97}, n=824),
]


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
    write_page(path, "Ours & <theirs>", [*RESULTS, RunRow("A<B", {"pesq_wb": 1.5})], curves, examples, synthetic=True)
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
    assert np.abs(levels[0]).max() in (32767, 32768)  # full scale above, and below
    assert (np.abs(levels[0]) >= 32767).sum() == 1
    assert levels[0].std() / levels[1].std() == pytest.approx(5, rel=0.1)
    assert "turned down by" in page


def test_a_page_of_a_table_alone(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "Plain", RESULTS, paper=paper.results())
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" not in text
    assert "<audio" not in text
    assert 'class="banner"' not in text
    assert "PESQ-wb, printed" in text
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
        "data": {**SOUND, "valid_items": 2},
        "model": {"name": "unet", "width": 4, "depth": 1, "groups": 1},
        "loss": {"l1": {}},
        "teacher": {"checkpoint": str(tmp_path / "teacher.safetensors")},
        "distill": {"abc": {"attention": "afd"}, "alp": {}, "bounded": {}},
        "train": settings(3),
    }
    run = tmp_path / "run"
    best = recipes.train(recipe, out=run).checkpoint
    recipes.evaluate(best, metrics=("si_sdr_db",), out=run, workers=0)
    noisy = recipes.evaluate(recipes.NOISY, recipe=run / RECIPE, metrics=("si_sdr_db",), workers=0)
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
