"""Progress: one protocol, and how the command line shows it."""

from __future__ import annotations

import pytest

from sordino.cli.progress import Display, say
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


def test_the_time_left_of_a_resumed_run_counts_its_own_steps_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 40.0, 80.0, 120.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    with Display() as show:
        for done in (1000, 1000, 1020, 1040):
            show("training", done, 1060, {})
    lines = [line.split("  ")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["training: 1000/1060", "training: 1020/1060, 160 s left", "training: 1040/1060, 60 s left"]


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
