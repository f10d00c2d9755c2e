"""How far the runs of a study are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from helpers.recipes import SOUND, UNET
from sordino.experiments.recipe import read
from sordino.experiments.study_plan import StudyRun
from sordino.experiments.study_progress import StudyProgress
from sordino.report.study_cells import StudyCell

Reports = list[tuple[int, int, dict[str, float]]]


@pytest.fixture
def reports() -> Reports:
    return []


def planned(folder: Path, **train: Any) -> StudyRun:
    """A run of a study, with an empty folder."""
    recipe = read({"data": SOUND, "model": UNET, "train": train})
    folder.mkdir()
    return StudyRun(StudyCell("all", folder.name), 0, recipe, folder)


def log(run: StudyRun, *steps: int) -> None:
    (run.folder / "log.jsonl").write_text("".join(json.dumps({"step": step}) + "\n" for step in steps))


def counting(runs: list[StudyRun], reports: Reports) -> StudyProgress:
    def report(_task: str, done: int, total: int, numbers: Mapping[str, float]) -> None:
        reports.append((done, total, dict(numbers)))

    return StudyProgress("A study", runs, report)


def test_steps_of_all_runs_are_counted_and_reported_when_they_change(tmp_path: Path, reports: Reports) -> None:
    short, long = planned(tmp_path / "short", steps=10), planned(tmp_path / "long", steps=1000)
    log(long, 100, 200)
    count = counting([short, long], reports)
    count.update([short, long], [])
    log(short, 5)
    count.update([short, long], [])
    count.update([long], [short])
    count.update([], [long])
    assert [(done, total, numbers["runs left"]) for done, total, numbers in reports] == [
        (200, 1010, 2),
        (205, 1010, 2),
        (210, 1010, 1),
        (1010, 1010, 0),
    ]


def test_runs_by_epochs_are_counted_one_by_one_and_their_steps_shown(tmp_path: Path, reports: Reports) -> None:
    first, second = planned(tmp_path / "first", epochs=3), planned(tmp_path / "second", steps=50)
    count = counting([first, second], reports)
    log(first, 40)
    count.update([first], [])
    log(first, 80)
    count.update([first], [])
    count.update([], [first])
    name = "steps in the runs under way"
    assert [(done, total, numbers[name]) for done, total, numbers in reports] == [
        (0, 2, 0),
        (0, 2, 40),
        (0, 2, 80),
        (1, 2, 0),
    ]


def test_steps_that_are_repeated_after_a_kill_do_not_count_twice(tmp_path: Path, reports: Reports) -> None:
    run = planned(tmp_path / "run", steps=10)
    log(run, 4, 8)
    count = counting([run], reports)
    for steps in ((), (4,), (4, 8), (4, 8, 9)):
        log(run, *steps)
        count.update([run], [])
    assert [done for done, _, _ in reports] == [8, 9]


def test_what_a_failed_run_lacks_is_no_longer_to_be_done(tmp_path: Path, reports: Reports) -> None:
    good, bad = planned(tmp_path / "good", steps=10), planned(tmp_path / "bad", steps=1000)
    count = counting([good, bad], reports)
    log(bad, 7)
    count.update([bad, good], [])
    count.update([good], [], [bad])
    count.update([], [good])
    assert [(done, total) for done, total, _ in reports] == [(0, 1010), (7, 1010), (7, 17), (17, 17)]


def test_a_damaged_log_stops_no_other_run(tmp_path: Path, reports: Reports) -> None:
    good, bad = planned(tmp_path / "good", steps=10), planned(tmp_path / "bad", steps=10)
    (bad.folder / "log.jsonl").write_text("no JSON\n")
    log(good, 3)
    counting([good, bad], reports)
    assert [(done, total) for done, total, _ in reports] == [(3, 20)]
