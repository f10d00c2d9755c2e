"""Studies: every cell trained once, resumed where it stopped, and the others done where one fails."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from helpers.recipes import settings
from helpers.studies import RECIPE, summed_up, write
from sordino import models
from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.experiments import run, study
from sordino.experiments.study_plan import read_study
from sordino.experiments.study_state import finished
from sordino.report.study_cells import StudyCell

pytestmark = pytest.mark.usefixtures("few_test_pairs", "warm")


@pytest.mark.slow
def test_a_run_whose_process_is_killed_fails_alone(tmp_path: Path) -> None:
    methods = {"killed": {"train": {"steps": 100_000}}, "none": {}}
    path = write(tmp_path, jobs=1, seeds=[0], methods=methods)
    before = set(multiprocessing.active_children())

    def kill(_task: str, done: int, _total: int, numbers: Mapping[str, float]) -> None:
        if done and numbers.get("runs left") == 2:
            for process in set(multiprocessing.active_children()) - before:
                process.kill()

    message = r"killed/seed-0: 1 of 2 runs failed; the error of this one: its process was killed"
    with pytest.raises(InputError, match=message):
        study.run(path, kill)
    assert (tmp_path / "study" / "whole" / "none" / "seed-0" / "scores.json").is_file()
    assert not set(multiprocessing.active_children()) - before


@pytest.mark.slow
def test_ctrl_c_ends_a_study_whose_other_runs_still_wait(tmp_path: Path) -> None:
    path = write(tmp_path, jobs=1)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "train": settings(100_000)}))
    words = [sys.executable, "-m", "sordino", "study", str(path)]
    log = tmp_path / "study" / "whole" / "none" / "seed-0" / "log.jsonl"
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (log.is_file() and log.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        try:
            _, message = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, message
    assert message.endswith(f"sordino: stopped; what the runs have done is saved; go on with: sordino study {path}\n")
    assert (log.parent / "state.pt").is_file()
    assert [folder.name for folder in (tmp_path / "study" / "whole" / "none").iterdir()] == ["seed-0"]


def test_a_study_trains_what_is_missing_and_sums_up_all(tmp_path: Path) -> None:
    path = write(tmp_path)
    [found], text = summed_up(path)
    out = tmp_path / "study"
    runs = [out / "whole" / method / f"seed-{seed}" for method in ("none", "output") for seed in (0, 1)]
    scores = [Scores.from_json(folder / "scores.json") for folder in runs]
    assert [line.cell for line in found] == [
        StudyCell("", "noisy"),
        StudyCell("", "teacher (teacher)"),
        StudyCell("whole", "none"),
        StudyCell("whole", "output"),
    ]
    by_hand = [one.means()["si_sdr_db"] for one in scores[2:]]
    assert found[3].spreads["si_sdr_db"].mean == pytest.approx(np.mean(by_hand))
    assert found[3].spreads["si_sdr_db"].std == pytest.approx(np.std(by_hand, ddof=1))
    difference = found[3].differences["si_sdr_db"].mean
    assert difference == pytest.approx(np.mean(by_hand) - np.mean([one.means()["si_sdr_db"] for one in scores[:2]]))
    assert "synthetic" in text
    for suffix in ("md", "tex", "csv"):
        assert (out / f"table.{suffix}").read_text("utf-8")
    rows = list(csv.DictReader((out / "table.csv").open(encoding="utf-8")))
    assert float(rows[3]["si_sdr_db_difference"]) == pytest.approx(difference)

    # Once more: nothing is trained again but what is gone.
    before = {folder: (folder / "best.safetensors").stat().st_mtime_ns for folder in runs}
    for file in runs[1].iterdir():
        if file.is_file():
            file.unlink()
    [again], _ = summed_up(path)
    assert [folder for folder in runs if (folder / "best.safetensors").stat().st_mtime_ns != before[folder]] == [
        runs[1]
    ]
    assert [line.spreads for line in again] == [line.spreads for line in found]

    # Another recipe than the one of the finished runs is refused.
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "loss": {"l1": {}}}))
    with pytest.raises(InputError, match="but the run began with"):
        study.run(path)


def test_runs_of_another_teacher_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    taught = {"output": {"distill": {"output": {"loss": "l1"}}}}
    path = write(tmp_path, seeds=[0], methods=taught, against=None, metrics=["si_sdr_db"])
    study.run(path)
    torch.manual_seed(2)
    models.save(models.create("unet", width=6, depth=2, groups=1), tmp_path / "teacher" / "best.safetensors")
    folder = tmp_path / "study" / "whole" / "output" / "seed-0"
    for go_on in (lambda: study.run(path), lambda: run.train(folder / "recipe.yaml", out=folder, resume=True)):
        with pytest.raises(InputError, match=f"{folder}: teacher is another one than when the run began"):
            go_on()


def test_a_run_that_fails_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    methods = {"none": {}, "views": {"distill": {"mvat": {}}}}  # which no U-Net has
    path = write(tmp_path, methods=methods, seeds=[0])
    with pytest.raises(InputError, match=r"1 of 2 runs failed; the error of this one: .*share no channel or global"):
        study.run(path)
    assert (tmp_path / "study" / "whole" / "none" / "seed-0" / "scores.json").exists()
    assert (tmp_path / "study" / "table.md").exists()


TELLER = """import os

def halve(noisy):
    with open({file!r}, "a") as log:
        log.write(f"{{os.getpid()}} {{os.environ.get('CUDA_VISIBLE_DEVICES')}}\\n")
    return 0.5 * noisy
"""
"""A teacher that notes which GPUs its process was given."""


@pytest.mark.parametrize(("name", "allowed", "given"), [("some", "5,3", {"5", "3"}), ("every", None, {"0", "1"})])
def test_runs_keep_to_the_gpus_that_the_study_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, allowed: str | None, given: set[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    log = tmp_path / "log"
    (tmp_path / f"teller_{name}.py").write_text(TELLER.format(file=str(log)))
    monkeypatch.syspath_prepend(str(tmp_path))
    taught = {"teacher": {"callable": f"teller_{name}:halve"}, "distill": {"output": {"loss": "l1"}}}
    path = write(tmp_path, scenarios={"whole": {}}, methods={"taught": taught}, against=None, metrics=["si_sdr_db"])
    study.run(path)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert {gpu for process, gpu in lines if int(process) != os.getpid()} == given


def test_a_run_gets_the_gpu_with_the_fewest_runs() -> None:
    assert study.least_taken(["5", "3"], []) == "5"
    assert study.least_taken(["5", "3"], ["5"]) == "3"
    assert study.least_taken(["5", "3"], ["3"]) == "5", "the run on 5 has ended, though it began first"
    assert study.least_taken([], [None]) is None


def test_a_run_that_was_stopped_is_not_done_when_it_has_scores(tmp_path: Path) -> None:
    path = write(tmp_path, seeds=[3], methods={"none": {}}, scenarios={"all": {}}, metrics=["si_sdr_db"])
    study.run(path)
    (one,) = read_study(path)[1]
    (one.folder / "last.safetensors").unlink()  # which a run writes at its end
    assert (one.folder / "scores.json").is_file()
    assert not finished(read_study(path)[0], one)


def test_progress_counts_the_steps_of_runs_of_unequal_length(tmp_path: Path) -> None:
    path = write(tmp_path, seeds=[0], jobs=1, methods={"none": {}, "longer": {"train": {"steps": 4}}})
    reports: list[tuple[int, int, float]] = []

    def keep(task: str, done: int, total: int, numbers: Mapping[str, float]) -> None:
        if task == "A trial":
            reports.append((done, total, numbers["runs left"]))

    study.run(path, keep)
    assert reports[0] == (0, 6, 2)
    assert reports[-1] == (6, 6, 0)
    assert any(done in (2, 3, 4) and left == 1 for done, _, left in reports), "the first run is done"
    assert [done for done, _, _ in reports] == sorted(done for done, _, _ in reports)
