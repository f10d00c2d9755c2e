"""The demo: every step of it in seconds, and, among the slow tests, its figures, which have to convince."""

from __future__ import annotations

import html
import multiprocessing
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import sordino
from sordino.app.demo import ROUNDS, RUNS, demo, read_out
from sordino.errors import InputError
from sordino.training import read_log
from sordino.training.state import STATE

NAMES = ("pesq_wb", "stoi", "si_sdr_db")
SHORT = ("train.steps=2", "train.validate_every=2", "train.log_every=1", "train.batch_size=2", "data.segment_s=0.5")
SHORT += ("data.valid_items=1",)
LONG = (*SHORT, "train.steps=100000", "train.validate_every=100000", "train.save_every=100000")

pytestmark = pytest.mark.usefixtures("warm")


def ignore(_task: str, _done: int, _total: int, _numbers: Mapping[str, float]) -> None:
    pass


@pytest.mark.slow
@pytest.mark.usefixtures("few_test_pairs")
def test_a_short_demo_trains_scores_exports_and_enhances_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "demo"

    def stop(_task: str, _done: int, _total: int, _numbers: Mapping[str, float]) -> None:
        if (folder / "student-output" / "log.jsonl").is_file():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(folder, stop, overrides=SHORT)
    assert not multiprocessing.active_children()
    before = {name: (folder / name / "best.safetensors").read_bytes() for name in ROUNDS[0]}

    values, text = demo(folder, ignore, overrides=SHORT)
    assert {name: (folder / name / "best.safetensors").read_bytes() for name in ROUNDS[0]} == before
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
    assert "What distillation gains on real speech is on the page docs/results.md" in text
    assert "<h2>What to expect</h2>" in report
    assert "Params (K)" in text
    assert "sordino new FOLDER" in text
    assert "sordino new FOLDER" in report[report.index("<h2>Now yours</h2>") :]


def test_ctrl_c_stops_and_saves_all_runs_under_way(tmp_path: Path) -> None:
    done = dict.fromkeys(ROUNDS[0], 0)

    def stop(task: str, step: int, _total: int, _numbers: Mapping[str, float]) -> None:
        done[task.partition(" ")[0].lower()] = step
        if all(done.values()):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path, stop, overrides=LONG)
    assert not multiprocessing.active_children()
    for name, step in done.items():
        assert step <= torch.load(tmp_path / name / STATE)["step"] < 100_000


def test_a_run_that_fails_stops_the_one_beside_it(tmp_path: Path) -> None:
    state = tmp_path / "student" / STATE
    state.parent.mkdir()
    state.write_bytes(b"of nothing")
    with pytest.raises(InputError, match=f"{state.parent}.*: "):
        demo(tmp_path, ignore, overrides=LONG)
    assert not multiprocessing.active_children()
    assert not (tmp_path / "teacher" / "best.safetensors").exists()


def test_a_run_whose_reports_nobody_reads_any_more_can_end() -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def run() -> None:
        for _ in range(10_000):  # far more than a pipe holds
            sender.send("a report")
        sender.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    read_out(receiver)
    thread.join(10)
    assert not thread.is_alive()


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
