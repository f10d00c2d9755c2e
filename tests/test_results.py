"""The road to all results, on synthetic sound: every step once, and the page that tells of it."""

from __future__ import annotations

import csv
import importlib
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from helpers.corpora import write_pairs
from sordino.audio.sound_files import info
from sordino.errors import InputError
from sordino.report.columns import SYNTHETIC
from sordino.version import commit

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "benchmarks" / "tiny" / "results.yaml"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_test_pairs: None) -> dict[str, Any]:
    """What benchmarks/results.py defines, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return runpy.run_path(str(ROOT / "benchmarks" / "results.py"))


@pytest.mark.slow
def test_one_command_redoes_all_and_the_next_one_nothing(results: dict[str, Any], capsys: Any) -> None:
    results["main"]([str(TINY)])
    page = Path("runs/tiny/results.md")
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text("utf-8")

    first, second = re.findall(r"^\*\*(.*)\*\*$", text, flags=re.MULTILINE)
    assert (first, second) == ("Synthetic", "Other voices")
    assert text.count(SYNTHETIC) == 2
    tables = [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)]
    for table, printed in zip(tables[:2], ("2.94", "2.47"), strict=True):
        header, _, noisy, teacher, none, mvat = ([cell.strip() for cell in row.split("|")[1:-1]] for row in table)
        assert [row[1] for row in (noisy, teacher, none, mvat)] == ["noisy", "teacher (teacher)", "none", "mvat"]
        row = dict(zip(header, mvat, strict=True))
        assert row["Seeds"] == "2"
        assert "±" in row["PESQ-wb"]
        assert row["PESQ-wb, printed"] == printed
        assert re.fullmatch(r"[+-]\d.\d\d \[-?\d.\d\d, -?\d.\d\d\]", row["Δ PESQ-wb"])

    runs = [row.split("|")[1].strip() for row in tables[2][2:]]
    assert len(runs) == 5
    assert {row.split("|")[-2].strip() for row in tables[2][2:]} == {commit() or "unknown"}
    plots = re.findall(r"!\[.*\]\((.*)\)", text)
    assert [Path(plot).name for plot in plots] == [
        "plot-pesq_wb.svg",
        "plot-other-voices-pesq_wb.svg",
        "plot-learning.svg",
    ]
    assert all((page.parent / plot).is_file() for plot in plots)

    weights = {path: path.stat().st_mtime_ns for run in runs for path in Path(run).glob("*.safetensors")}
    scores = {path: path.stat().st_mtime_ns for path in Path("runs/tiny/study").rglob("scores*.json")}
    assert (len(weights), len(scores)) == (10, 12)
    results["main"]([str(TINY)])
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert {path: path.stat().st_mtime_ns for path in scores} == scores
    assert page.read_text("utf-8") == text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"title": "a", "out": "b"}, "no list of results"),
        ({"title": "a", "out": "b", "steps": [{"trian": "x.yaml"}]}, "no step: {'trian': 'x.yaml'}"),
        ({"title": "a", "out": "b", "steps": [{"train": "x.yaml", "study": "y.yaml"}]}, "no step"),
    ],
)
def test_mistakes_in_a_list_are_reported(results: dict[str, Any], values: dict[str, Any], message: str) -> None:
    Path("list.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as caught:
        results["read"](Path("list.yaml"))
    assert message in str(caught.value)
    with pytest.raises(SystemExit, match="no such list"):
        results["main"](["nothing.yaml"])


def test_the_lists_name_what_exists(results: dict[str, Any]) -> None:
    for path in (TINY, ROOT / "benchmarks" / "real" / "results.yaml"):
        _, _, steps = results["read"](path)
        assert all(what.is_file() for verb, what in steps if verb != "corpus")
        assert {verb for verb, _ in steps} >= {"train", "study"}


def test_a_commit_is_reported_of_our_own_source_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    module = importlib.import_module("sordino.version")
    copy = Path(shutil.copy(str(module.__file__), tmp_path))
    monkeypatch.setattr(module, "__file__", str(copy))
    assert commit() is None  # no repository
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "theirs")
    assert commit() is None  # somebody else's
    git("add", copy.name)
    git("commit", "-q", "-m", "ours")
    assert commit() == git("rev-parse", "--short", "HEAD")
    copy.write_text(copy.read_text("utf-8") + "# changed")
    assert commit() == git("rev-parse", "--short", "HEAD") + "-dirty"
    monkeypatch.setenv("PATH", "")
    assert commit() is None  # no git


# The pictures of docs/results.md


def test_pictures_hold_every_network_of_the_tables(tmp_path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

    pictures = runpy.run_path(str(ROOT / "benchmarks" / "pictures.py"))
    text = (ROOT / "benchmarks" / "results" / "published.md").read_text("utf-8")
    figure = Figure()
    pictures["draw_quality"](figure, text)
    (speed,) = pictures["rows"](text, "## Speed")
    for axis, heading in zip(figure.axes, ("## VoiceBank", "## VoiceBank", "## DNS"), strict=True):
        named = {one.get_text() for one in axis.findobj(Annotation)}
        scored = {row["Model"].partition(",")[0] for row in pictures["rows"](text, heading)}
        assert named == scored & speed.keys()
        assert "dualpath-24" in named


def test_the_figures_of_the_picture_stand_on_one_page_each() -> None:
    folder = ROOT / "benchmarks" / "results"
    pages = {path.name: set(re.findall(r"(?<![\d.])\d+\.\d+", path.read_text("utf-8"))) for path in folder.glob("*.md")}
    with (folder / "gains.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            figures = {row["teacher"], row["alone"], row["taught"]}
            assert any(figures <= page for page in pages.values()), row


def test_a_point_lies_at_the_lead_and_the_gain() -> None:
    from matplotlib.figure import Figure

    pictures = runpy.run_path(str(ROOT / "benchmarks" / "pictures.py"))
    row = {"pair": "cosine", "test": "VB", "measure": "PESQ", "teacher": "2.5", "alone": "2.0", "taught": "2.1"}
    figure = Figure()
    pictures["draw_gains"](figure, [row])
    (point,) = [line for line in figure.axes[0].lines if line.get_label() == "cosine"]
    np.testing.assert_allclose(np.array(point.get_xydata()), [[0.5, 0.1]])


# The page that plays the default student


def test_the_page_plays_the_worst_the_median_and_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(tmp_path / "pairs")
    monkeypatch.setattr("sys.argv", ["listening.py", str(tmp_path / "pairs"), str(tmp_path / "docs")])
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    listening = runpy.run_path(str(ROOT / "benchmarks" / "listening.py"))
    listening["main"]()
    page = (tmp_path / "docs" / "index.md").read_text("utf-8")
    gains = listening["ranked"](tmp_path / "pairs")
    named = [gains[0], gains[len(gains) // 2], gains[-1]]
    assert re.findall(r"Spectrograms of (\w+)", page) == [name for name, _, _ in named]
    for name, _, _ in named:
        assert (tmp_path / "docs" / f"{name}.png").is_file()
        for version in ("noisy", "dualpath-24", "clean"):
            assert f'src="{name}-{version}.mp3"' in page
            assert info(tmp_path / "docs" / f"{name}-{version}.mp3").seconds > 1
