"""The demo: every step of it in seconds, and, among the slow tests, its figures, which have to convince."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sordino
from sordino.app.demo import RUNS, demo
from sordino.data.sources import synthetic
from sordino.training import read_log

NAMES = ("pesq_wb", "stoi", "si_sdr_db")
SHORT = ("train.steps=2", "train.validate_every=2", "train.log_every=1", "train.batch_size=2", "data.segment_s=0.5")
SHORT += ("data.valid_items=1",)


def ignore(_task: str, _done: int, _total: int, _numbers: dict[str, float]) -> None:
    pass


def test_a_short_demo_trains_scores_exports_and_enhances_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "TEST_PAIRS", 2)
    folder = tmp_path / "demo"

    def stop(_task: str, _done: int, _total: int, _numbers: dict[str, float]) -> None:
        if (folder / "student" / "log.jsonl").is_file() and read_log(folder / "student"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(folder, stop, overrides=SHORT)
    teacher = (folder / "teacher" / "best.safetensors").read_bytes()
    assert not (folder / "student-output").exists()

    values, text = demo(folder, ignore, overrides=SHORT)
    assert (folder / "teacher" / "best.safetensors").read_bytes() == teacher
    assert all(read_log(folder / name)[-1]["step"] == 2 for name in RUNS)
    rows = values["rows"]
    assert len(rows) == 1 + len(RUNS)
    for row in rows:
        assert all(np.isfinite(row["means"][name]) for name in NAMES)
        assert row["synthetic"]
    report, titles = Path(values["report"]).read_text("utf-8"), [row["name"] for row in rows]
    assert len(set(titles)) == len(rows)
    assert all(html.escape(title) in report and title in text for title in titles)
    enhanced, rate = soundfile.read(values["enhanced"], dtype="float32")
    assert rate == 16000
    noisy = soundfile.read(sorted((folder / "corpus" / "test" / "noisy").glob("*.flac"))[0], dtype="float32")[0]
    assert enhanced.shape == noisy.shape
    assert np.abs(enhanced - sordino.enhance(noisy, rate, folder / "student.onnx")).max() < 1e-3
    assert str(values["report"]) in text


@pytest.mark.slow
def test_every_network_of_the_demo_is_better_than_the_noisy_input(tmp_path: Path) -> None:
    values, _ = demo(tmp_path / "demo", ignore)
    noisy, teacher, *students = [row["means"] for row in values["rows"]]
    assert len(students) == len(RUNS) - 1
    for means in (teacher, *students):
        assert all(means[name] > noisy[name] for name in NAMES)
    alone, *taught = students
    assert all(teacher[name] > alone[name] for name in NAMES)
    assert max(one["stoi"] for one in taught) > alone["stoi"]
    assert Path(values["report"]).stat().st_size > 100_000
