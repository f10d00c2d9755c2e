"""The demo, whole: it is the first thing that people run, and it has to convince."""

from __future__ import annotations

from pathlib import Path

import soundfile

from sordino.app.demo import RUNS, demo

NAMES = ("pesq_wb", "stoi", "si_sdr_db")


def test_every_network_of_the_demo_is_better_than_the_noisy_input(tmp_path: Path) -> None:
    values, text = demo(tmp_path / "demo", lambda task, done, total, numbers: None)
    noisy, teacher, *students = [row["means"] for row in values["rows"]]
    assert len(students) == len(RUNS) - 1
    for means in (teacher, *students):
        assert all(means[name] > noisy[name] for name in NAMES)
    alone, *taught = students
    assert all(teacher[name] > alone[name] for name in NAMES)
    assert max(one["stoi"] for one in taught) > alone["stoi"]
    assert Path(values["report"]).stat().st_size > 100_000
    assert soundfile.info(values["enhanced"]).samplerate == 16000
    assert str(values["report"]) in text
