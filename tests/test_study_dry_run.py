"""What a dry run of a study finds before anything is trained."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from helpers.corpora import write_pairs
from helpers.studies import write
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.experiments import study, study_check, study_jobs
from sordino.experiments.dry_run import DryRun

pytestmark = pytest.mark.usefixtures("few_test_pairs", "warm")


def test_what_stops_every_run_is_reported_once_and_a_dry_run_lists_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    main(["study", str(path), "--dry-run", "--json"])
    planned = json.loads(capsys.readouterr().out)
    assert planned["ok"]
    assert [(one["method"], one["seed"], one["state"]) for one in planned["runs"]] == [
        (method, seed, "to train") for method in ("none", "output") for seed in (0, 1)
    ]
    assert not (tmp_path / "study").exists()

    main(["study", str(path), "--try", "--json"])
    tried = json.loads(capsys.readouterr().out)["runs"]
    for one in tried:
        assert one["hours"] == pytest.approx(one["seconds_per_step"] * 2 / 3600), "each run has two steps"
    assert [one["hours"] for one in tried[::2]] == [one["hours"] for one in tried[1::2]], "one seed stands for all"
    assert not (tmp_path / "study").exists()

    (tmp_path / "teacher" / "best.safetensors").unlink()
    with pytest.raises(SystemExit) as left:
        main(["study", str(path), "--try"])
    assert left.value.code == 1
    log = capsys.readouterr().out
    assert log.count("no such file") == 1
    assert "4 of 4 runs would fail: " in log
    with pytest.raises(
        InputError, match=r"4 of 4 runs failed; the error of all: .*best\.safetensors: no such file.*train it first"
    ):
        study.run(path)
    assert not (tmp_path / "study").exists(), "none began"


def test_a_cache_of_other_answers_is_found_before_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = {"checkpoint": str(tmp_path / "teacher" / "best.safetensors"), "cache": str(tmp_path / "answers")}
    path = write(tmp_path, seeds=[0], scenarios={"whole": {"teacher": teacher}}, metrics=["si_sdr_db"])
    study.run(path)
    path = write(tmp_path, seeds=[0], scenarios={"more": {"teacher": teacher, "data": {"snr_db": [0, 5]}}})
    with pytest.raises(SystemExit):
        main(["study", str(path), "--dry-run"])
    assert re.search(r"1 of 2 runs would fail: .* when its answers were stored", capsys.readouterr().out)


def test_a_dry_run_refuses_what_the_study_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settled = {"seeds": [0], "methods": {"none": {}}, "metrics": ["si_sdr_db"]}
    path = write(tmp_path, **settled)
    study.run(path)
    main(["study", str(path), "--dry-run", "--json"])
    assert [one["state"] for one in json.loads(capsys.readouterr().out)["runs"]] == ["done"]
    changed = write(tmp_path, **settled, scenarios={"whole": {"train": {"steps": 3}}})
    with pytest.raises(SystemExit, match="1"):
        main(["study", str(changed), "--dry-run"])
    assert "1 of 1 runs would fail: " in (found := capsys.readouterr().out)
    refusal = "train.steps is 3, but the run began with 2; expected the same recipe; set it back, or give the run"
    assert refusal in found
    with pytest.raises(InputError, match=re.escape(refusal)):
        study.run(changed)
    write(tmp_path, **settled | {"metrics": ["nope"]})
    with pytest.raises(SystemExit, match="2"):
        main(["study", str(path), "--dry-run"])
    assert "metric nope: no such metric" in capsys.readouterr().err


def test_a_weight_of_a_term_that_a_method_took_away_is_reported_before_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, methods={"none": {"weights": {"kd/output": 0.5}}, "also none": {}})
    with pytest.raises(SystemExit):
        main(["study", str(path), "--dry-run"])
    assert "2 of 4 runs would fail: weights.kd/output: no such term" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"teacher": {"checkpoint": None, "onnx": "theirs.onnx"}}, "theirs.onnx: no such file"),
        (
            {"teacher": {"checkpoint": None, "onnx": "theirs.onnx", "stft": {"n_fft": 512, "hop": 256}}},
            "theirs.onnx: no such file",
        ),
        ({"teacher": {"checkpoint": None, "mean": ["unet-24", "gtcrn:theirs.onnx"]}}, "theirs.onnx: no such file"),
        ({"distill": {"output": {"loss": "compresed"}}}, "loss compresed: no such loss; did you mean compressed?"),
        ({"distill": {"mvat": {}}}, "distill.mvat: student and teacher share no channel"),
        ({"teacher": None, "distill": {"output": {}}}, "distill: methods but no teacher"),
        ({"unlabelled": {"noisy": "nowhere"}}, "nowhere: "),
    ],
)
def test_a_dry_run_finds_what_one_method_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], method: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, methods={"none": {}, "other": method})
    with pytest.raises(SystemExit) as left:
        main(["study", str(path), "--dry-run"])
    assert left.value.code == 1
    assert f"2 of 4 runs would fail: {message}" in capsys.readouterr().out


def test_a_dry_run_says_that_a_teacher_from_elsewhere_has_no_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = {"checkpoint": None, "callable": "numpy:copy"}
    methods = {"output": {"teacher": teacher}, "at": {"teacher": teacher, "distill": {"at": {}}}}
    path = write(tmp_path, methods=methods, against="output")
    with pytest.raises(SystemExit):
        main(["study", str(path), "--dry-run"])
    assert "2 of 4 runs would fail: distill.at: " in capsys.readouterr().out


def test_a_dry_run_opens_no_model_from_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "external.py").write_text("raise RuntimeError('needs a GPU')")
    monkeypatch.chdir(tmp_path)
    teacher = {"checkpoint": None, "callable": "external:enhance"}
    path = write(tmp_path, methods={"none": {}, "output": {"teacher": teacher, "distill": {"output": {}}}})
    main(["study", str(path), "--dry-run"])
    out = capsys.readouterr().out
    assert "4 to do" in out
    assert "would fail" not in out
    assert "external" not in sys.modules


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenarios": {"whole": {"data": {"name": "pairs"}}}, "methods": {"none": {}}}, "has no test set"),
        ({"tests": {"other": {"noisy": "nowhere", "clean": "nowhere"}}}, "nowhere: there is no such folder"),
    ],
)
def test_a_test_set_that_is_missing_is_found_before_the_runs(
    tmp_path: Path, changes: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy, clean = write_pairs(tmp_path / "pairs")
    for scenario in changes.get("scenarios", {}).values():
        scenario["data"] |= {"noisy": noisy, "clean": clean, "segment_s": 0.5}
    path = write(tmp_path, seeds=[0], **changes)
    with pytest.raises(SystemExit, match="1"):
        main(["study", str(path), "--dry-run"])
    assert message in capsys.readouterr().out
    with pytest.raises(InputError, match=message):
        study.run(path)
    assert not (tmp_path / "study").exists()


def test_a_run_that_went_on_at_another_rate_is_the_studys_still(tmp_path: Path) -> None:
    path = write(tmp_path, seeds=[0], methods={"none": {}})
    study.run(path)
    folder = tmp_path / "study" / "whole" / "none" / "seed-0"
    stated = yaml.safe_load((folder / "recipe.yaml").read_text())
    stated["train"]["max_lr"] = 1e-4
    (folder / "recipe.yaml").write_text(yaml.safe_dump(stated))
    study.run(path)
    (folder / "scores.json").unlink()
    study.run(path)
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["train"]["max_lr"] == 1e-4


def test_methods_are_tried_with_the_threads_of_the_study_and_the_whole_is_for_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = []

    def count(*_: object, **__: object) -> DryRun:
        threads.append(torch.get_num_threads())
        return DryRun({}, {}, 1, 0, 3600, 1.0, "")

    monkeypatch.setattr(study_check, "dry_run", count)
    monkeypatch.setattr(study_jobs, "usable_cores", lambda: 6)
    before = torch.get_num_threads()
    main(["study", str(write(tmp_path, jobs=2)), "--try"])
    assert threads == [3, 3]
    assert torch.get_num_threads() == before
    assert "2 h for all unfinished runs, from their first step and 2 at a time" in capsys.readouterr().out
