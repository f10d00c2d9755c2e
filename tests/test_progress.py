"""Progress: one protocol, and how the command line shows it."""

from __future__ import annotations

import io
import re
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from helpers.corpora import RATE
from helpers.noise import tone
from sordino.audio.sound_files import write
from sordino.cli.main import main
from sordino.cli.progress import Display, say
from sordino.errors import duration
from sordino.types import Progress, Status, retitled


def test_a_display_is_a_progress_and_tells_a_log_file_the_end_and_no_step_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Display() as show:
        progress: Progress = show
        status: Status = show.status
        progress("scoring", 1, 2, {})
        status("turned over at step 3")
        progress("scoring", 2, 2, {"loss": 0.12345})
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["turned over at step 3", "scoring: 2/2, 0 s left  loss 0.1235"]


@pytest.mark.parametrize(
    ("task", "times", "steps", "total", "lines"),
    [
        (  # a resumed run counts its own steps alone
            "training",
            [0.0, 40.0, 80.0, 120.0],
            [1000, 1000, 1020, 1040],
            1060,
            ["training: 1000/1060", "training: 1020/1060, 2.7 min left", "training: 1040/1060, 1 min left"],
        ),
        (  # so does another task of the same name
            "scoring",
            [0.0, 1000.0, 1001.0, 1041.0],
            [1, 100, 1, 5],
            100,
            ["scoring: 100/100, 0 s left", "scoring: 5/100, 16 min left"],
        ),
    ],
)
def test_the_time_left_counts_the_steps_since_the_first_report(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    times: list[float],
    steps: list[int],
    total: int,
    lines: list[str],
) -> None:
    now = iter(times)
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    with Display() as show:
        for done in steps:
            show(task, done, total, {})
    assert [line.split("  ")[0] for line in capsys.readouterr().err.splitlines()] == lines


def test_a_bar_says_which_time_is_gone_and_which_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    monkeypatch.setattr("sordino.cli.progress._console", lambda: console)
    with Display() as show:
        show("training", 1, 4, {})
    assert re.search(r"1/4.*0:00:00.*gone,.*left", output.getvalue())


def test_a_bar_begins_anew_for_another_task_of_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr("sordino.cli.progress._console", lambda: console)
    with Display() as show:
        show("scoring", 10, 10, {})
        show("scoring", 1, 10, {})
        (bar,) = show._bars.tasks
        assert not bar.finished
        assert bar.completed == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (1e-9, "1e-06 ms"),
        (0.0123, "12 ms"),
        (0.9996, "1 s"),
        (1.3, "1.3 s"),
        (59.7, "60 s"),
        (90, "1.5 min"),
        (3599.9, "1 h"),
        (3600, "1 h"),
        (47 * 3600, "47 h"),
        (130 * 3600, "5.4 days"),
    ],
)
def test_durations_have_the_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_brackets_in_titles_and_paths_are_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    say("cache runs/answers[2x]/here :smile:")
    with Display() as show:
        show("students [mvat] [/x]", 1, 1, {})
        show.status("[red]")
    printed = capsys.readouterr().err
    assert "cache runs/answers[2x]/here :smile:\nstudents [mvat] [/x]: 1/1" in printed
    assert "[red]" in printed


def test_a_display_that_shows_nothing_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display():
        pass
    assert capsys.readouterr() == ("", "")


def test_a_task_under_another_title() -> None:
    seen: list[tuple[object, ...]] = []
    renamed = retitled(lambda *step: seen.append(step), "scoring best.safetensors")
    assert renamed is not None
    renamed("scoring", 1, 2, {"loss": 0.5})
    assert seen == [("scoring best.safetensors", 1, 2, {"loss": 0.5})]
    assert retitled(None, "scoring") is None


def test_the_time_left_for_a_folder_counts_from_its_first_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        write(tmp_path / "in" / f"{name}.wav", tone(0.2), RATE)
    now = count(0.0, 40.0)
    monkeypatch.setattr("sordino.cli.progress.time", SimpleNamespace(monotonic=lambda: next(now)))
    main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out")])
    lines = [line.split("  ")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["enhancing: 1/2, 40 s left", "enhancing: 2/2, 0 s left"]
