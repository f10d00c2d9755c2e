"""Models of any kind on the same recordings: one table with sizes and speed, and a page with sound."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.corpora import write_pairs
from helpers.graphs import held_back, spectral
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.experiments.side_by_side import side_by_side, titles

METRICS = ["si_sdr_db"]


def test_models_are_rows_of_one_table_with_size_and_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noisy, clean = write_pairs(tmp_path, speakers=1, each=2)
    late, frames = held_back(tmp_path / "late.onnx", 256), spectral(tmp_path / "frames.onnx")
    words = ["noisy", "unet-24", str(late), f"gtcrn:{frames}"]
    page = tmp_path / "page.html"
    given = ["--data", noisy, clean, "--metrics", *METRICS, "--workers", "0", "--page", str(page), "--examples", "1"]
    main(["evaluate", *words, *given, "--out", str(tmp_path / "scores"), "--json"])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert list(rows) == ["noisy", "unet-24", "late", "frames"]
    # Both graphs change nothing, and their delays are taken off.
    for name in ("late", "frames"):
        assert rows[name]["means"]["si_sdr_db"] == pytest.approx(rows["noisy"]["means"]["si_sdr_db"], abs=1e-3)
        assert rows[name]["rtf"] > 0
        assert rows[name]["params"] == 0
    assert rows["unet-24"]["params"] > 40_000
    assert rows["noisy"]["rtf"] is None
    text = page.read_text("utf-8")
    assert "RTF, one thread" in text
    assert text.count("<audio") == 5
    assert {path.parent.name for path in (tmp_path / "scores").glob("*/scores.json")} >= {"late", "frames"}


def test_models_are_named_by_their_files_and_each_once(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        held_back(tmp_path / folder / "same.onnx", 256)
    same = [str(tmp_path / folder / "same.onnx") for folder in "ab"]
    assert titles(["noisy", *same, "unet-24"]) == ["noisy", *same, "unet-24"]
    alike = [str(tmp_path / name) for name in ("a_b.onnx", "a-b.onnx", "noisy.onnx", "clean.onnx")]
    for path in alike:
        held_back(Path(path), 256)
    assert titles(alike) == alike, "as folders, a_b and a-b are one; noisy is the input, clean the reference"
    with pytest.raises(InputError, match="unet-24 is named twice"):
        titles(["unet-24", "noisy", "unet-24"])
    with pytest.raises(InputError, match="no recordings to compare on; expected --data"):
        side_by_side(["noisy", "unet-24"])
    with pytest.raises(InputError, match="--examples: -1; expected 0 or more"):
        side_by_side(["noisy", "unet-24"], (str(tmp_path), str(tmp_path)), page=tmp_path / "page.html", examples=-1)
