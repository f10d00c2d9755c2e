"""Runs that go on at another rate than they began with, as those that diverged must, and runs that begin anew."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from helpers.recipes import SOUND, UNET, settings
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.recipe import read
from sordino.experiments.run_folder import NOISY_SCORES, SCORES, SCORES_CSV, demand_folder, same_run
from sordino.experiments.run_recipe import RECIPE, as_resumed, read_run
from sordino.experiments.run_teacher import TEACHER
from sordino.training.divergence import GOOD, Diverged
from sordino.training.log import FIGURES, LOG
from sordino.training.state import CHECKPOINT, LAST, STATE
from sordino.training.updater import Updater

VALUES: dict[str, Any] = {"data": SOUND, "model": UNET, "loss": {"l1": {}}, "train": settings(3, save_every=1)}
CALM = ["train.max_lr=1e-4"]


def stop_after(step: int) -> Any:
    def report(_task: str, done: int, _total: int, _numbers: Mapping[str, float]) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return report


def rate(folder: Path) -> float:
    return yaml.safe_load((folder / RECIPE).read_text())["train"].get("max_lr", 1e-3)


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that stopped after a step, went on at a lower rate, and stopped after another."""
    with pytest.raises(KeyboardInterrupt):
        run.train(VALUES, out=tmp_path / "run", progress=stop_after(1))
    with pytest.raises(KeyboardInterrupt):
        run.train(VALUES, CALM, out=tmp_path / "run", resume=True, progress=stop_after(2))
    return tmp_path / "run"


def test_a_change_of_the_rate_is_reported(stopped: Path) -> None:
    messages: list[str] = []
    run.train(VALUES, out=stopped, resume=True, status=messages.append)
    assert f"{stopped}: goes on at train.max_lr=0.001, train.grad_clip=null" in messages
    assert rate(stopped) == 1e-3


def test_a_study_keeps_the_rate_with_which_a_run_was_resumed_and_refuses_a_rate_of_its_own(stopped: Path) -> None:
    began = read(VALUES)
    same_run(stopped, began)
    assert as_resumed(stopped, began).train.max_lr == 1e-4
    for values in (["train.max_lr=1e-2"], ["train.grad_clip=1.0"]):
        with pytest.raises(InputError, match=rf"{values[0].partition('=')[0]} is .*but the run began with"):
            same_run(stopped, read(VALUES, values))


def test_a_run_that_has_taken_all_its_steps_keeps_its_rate(tmp_path: Path) -> None:
    run.train(VALUES, out=tmp_path)
    with pytest.raises(InputError, match="has taken all its steps, so no rate can change"):
        run.train(VALUES, CALM, out=tmp_path, resume=True)
    assert rate(tmp_path) == 1e-3
    with pytest.raises(InputError, match=r"train\.max_lr is 0\.0001, but the run began with 0\.001"):
        same_run(tmp_path, read(VALUES, CALM))


def test_a_run_that_begins_anew_removes_the_scores_of_the_one_before(tmp_path: Path) -> None:
    outcome = run.train(VALUES, out=tmp_path)
    run.evaluate(outcome.checkpoint, metrics=["si_sdr_db"], out=tmp_path, workers=0)
    (tmp_path / NOISY_SCORES).write_text("{}")
    run.train(VALUES, out=tmp_path, resume=True)
    assert (tmp_path / SCORES).is_file()  # nothing was trained, so they hold still
    (tmp_path / STATE).unlink()
    (tmp_path / LAST).unlink()
    (tmp_path / CHECKPOINT).unlink()
    (tmp_path / "scores-other.json").write_text("{}")
    run.train(VALUES, ["train.seed=7"], out=tmp_path)
    assert not (tmp_path / "scores-other.json").exists()
    assert not any((tmp_path / name).exists() for name in (SCORES, SCORES_CSV, NOISY_SCORES))


def test_files_of_other_origin_are_not_written_over(tmp_path: Path) -> None:
    for name in (TEACHER, SCORES, SCORES_CSV, NOISY_SCORES, "scores-mine.json", "scores2.csv", GOOD, LOG, FIGURES):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_text("mine")
        for attempt in (lambda: run.train(VALUES, out=folder), lambda: demand_folder(read(VALUES), folder)):  # noqa: B023
            with pytest.raises(InputError, match="is there, though the folder is not that of a run"):
                attempt()
        assert (folder / name).read_text() == "mine"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / CHECKPOINT).write_bytes(b"weights")
    with pytest.raises(InputError, match=r"holds the weights of a run, best\.safetensors, but not its state\.pt"):
        run.train(VALUES, out=tmp_path / "own")


def test_a_resume_that_is_refused_leaves_the_folder_as_it_was(stopped: Path) -> None:
    state = torch.load(stopped / STATE, weights_only=True)
    torch.save(state | {"segments": 999}, stopped / STATE)
    (stopped / SCORES).write_text("{}")
    before = (stopped / RECIPE).read_text()
    messages: list[str] = []
    with pytest.raises(InputError, match="but the run began with 999"):
        run.train(VALUES, ["train.max_lr=1e-5"], out=stopped, resume=True, status=messages.append)
    assert not any("goes on at" in line for line in messages)
    assert (stopped / RECIPE).read_text() == before
    assert (stopped / SCORES).is_file()


def test_a_run_without_a_state_says_that_it_begins_again(stopped: Path) -> None:
    (stopped / STATE).unlink()
    messages: list[str] = []
    assert run.train(VALUES, CALM, out=stopped, resume=True, status=messages.append).steps == 3
    assert f"{stopped}: has no state.pt, so the run begins again" in messages


def test_a_run_that_is_ruined_before_its_first_validation_goes_on_at_a_lower_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {**VALUES, "train": settings(3, save_every=1, validate_every=2)}
    step = Updater.train_step

    def ruin(updater: Updater, *arguments: Any) -> dict[str, float]:
        terms = step(updater, *arguments)
        if arguments[-1] == 1:
            next(updater.student.parameters()).data.fill_(float("inf"))
        return terms

    with monkeypatch.context() as patched:
        patched.setattr(Updater, "train_step", ruin)
        with pytest.raises(Diverged, match=r"the weight .* is not finite"):
            run.train(values, out=tmp_path)
    assert torch.load(tmp_path / STATE, weights_only=True)["step"] == 1
    assert run.train(values, CALM, out=tmp_path, resume=True).steps == 3


def test_a_run_with_a_setting_that_has_no_effect_can_still_be_read_and_continued(stopped: Path) -> None:
    """An older version accepted such settings."""
    stated = yaml.safe_load((stopped / RECIPE).read_text())
    stated["train"]["warmup_steps"] = 100
    (stopped / RECIPE).write_text(yaml.safe_dump(stated, sort_keys=False))
    assert read_run(stopped).train.warmup_steps is None
    assert run.train(VALUES, CALM, out=stopped, resume=True).steps == 3
