"""What a study measures: the scores of evaluate, anew where a model or the data changed, and on every test set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from helpers.corpora import write_pairs
from helpers.studies import RECIPE, fake, summed_up, write
from sordino import models
from sordino.evaluation.score import Scores
from sordino.experiments import run, study, study_results
from sordino.experiments.study_plan import OWN, read_study
from sordino.inference.resolve import ModelSource
from sordino.report.study_cells import StudyCell

pytestmark = pytest.mark.usefixtures("few_test_pairs", "warm")


def test_each_teacher_keeps_its_own_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(model: str | ModelSource, *_: Any, **__: Any) -> Scores:
        return fake(float(len(model if isinstance(model, str) else str(model.path))))

    monkeypatch.setattr(run, "evaluate", evaluate)
    # Two teachers in folders of one name, of which one is known when the second joins before it.
    teachers = ["elsewhere/teacher/best.safetensors", "here/teacher/best.safetensors"]
    methods = {name: {"teacher": {"checkpoint": name}} for name in teachers}
    plan, runs = read_study(write(tmp_path, seeds=[0], methods=methods, against=None, metrics=["pesq_wb"]))
    for one in runs:
        fake(1.0).to_json(one.folder / "scores.json")
    for chosen in (runs[1:], runs):
        [found] = study_results.summary(plan, chosen)[0].values()
    shown = {line.cell.method: line.by_seed["pesq_wb"] for line in found if not line.cell.scenario}
    assert shown == {
        "noisy": [6.0],
        "teacher (teacher)": [len(teachers[0]) + 1],
        "here/teacher (teacher)": [len(teachers[1]) + 1],
    }


def test_the_mean_of_teachers_has_a_row_above_those_of_its_members(tmp_path: Path) -> None:
    (tmp_path / "softer.py").write_text("def halve(noisy):\n    return 0.5 * noisy\n")
    mean = {"mean": ["unet-24", {"callable": "softer:halve", "sample_rate": 8000}]}
    methods = {"none": {"teacher": mean}, "one": {"teacher": {"callable": "softer:halve"}}}
    plan, runs = read_study(write(tmp_path, seeds=[0], scenarios={"all": {}}, methods=methods, metrics=["pesq_wb"]))
    for one in runs:
        fake(1.0).to_json(one.folder / "scores.json")
    [found] = study_results.summary(plan, runs)[0].values()
    shown = {line.cell.method: line.by_seed["pesq_wb"] for line in found if not line.cell.scenario}
    names = ("mean of unet-24 and softer:halve", "unet-24", "softer:halve", "softer:halve, 2")
    assert list(shown) == ["noisy", *(f"{name} (teacher)" for name in names)]
    # At 8 kHz the function gets no band above 4 kHz, and the mean has the upper half of its other member.
    assert len({tuple(values) for values in shown.values()}) == 5


def test_results_are_those_that_evaluate_gives(tmp_path: Path) -> None:
    study.run(write(tmp_path, seeds=[3], methods={"none": {}}))
    folder = tmp_path / "study" / "whole" / "none" / "seed-3"
    measured = run.evaluate(folder / "best.safetensors", metrics=("si_sdr_db",), out=tmp_path / "again")
    assert measured.means()["si_sdr_db"] == Scores.from_json(folder / "scores.json").means()["si_sdr_db"]

    # A metric more is scored, and nothing trained.
    before = (folder / "best.safetensors").stat().st_mtime_ns
    [found], _ = summed_up(write(tmp_path, seeds=[3], methods={"none": {}}, metrics=["si_sdr_db", "stoi", "snr_db"]))
    assert all("snr_db" in line.spreads for line in found)
    assert (folder / "best.safetensors").stat().st_mtime_ns == before


def test_a_teacher_whose_file_changed_is_scored_anew(tmp_path: Path) -> None:
    path = write(tmp_path, seeds=[3], methods={"none": {}}, metrics=["si_sdr_db"])
    scored = []
    for width in (6, 8):
        torch.manual_seed(width)
        models.save(models.create("unet", width=width, depth=2, groups=1), tmp_path / "teacher" / "best.safetensors")
        found, _ = study.run(path)
        scored.append(found[OWN][1].spreads["si_sdr_db"].mean)
    fresh = run.evaluate(
        tmp_path / "teacher" / "best.safetensors", recipe=read_study(path)[1][0].recipe, metrics=("si_sdr_db",)
    )
    assert scored[0] != scored[1] == fresh.means()["si_sdr_db"]


def test_the_noisy_input_of_other_data_is_scored_anew(tmp_path: Path) -> None:
    path = write(tmp_path, seeds=[3], methods={"none": {}}, scenarios={"all": {}}, metrics=["si_sdr_db"])
    noisy = []
    for seed in (0, 0, 5):
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "data": {**RECIPE["data"], "seed": seed}}))
        shutil.rmtree(tmp_path / "study" / "all", ignore_errors=True)
        found, _ = study.run(path)
        noisy.append(found[OWN][0].spreads["si_sdr_db"].mean)
    assert noisy[0] == noisy[1] != noisy[2]


def test_scenarios_with_test_sets_of_their_own_have_references_of_their_own(tmp_path: Path) -> None:
    teacher = {"checkpoint": str(tmp_path / "teacher" / "best.safetensors")}
    scenarios = {
        name: {"data": {**RECIPE["data"], "seed": seed}, "teacher": teacher} for name, seed in (("a", 0), ("b", 5))
    }
    pairs = dict(zip(("noisy", "clean"), write_pairs(tmp_path / "other", speakers=3), strict=True))
    only_none = {"seeds": [3], "methods": {"none": {}}, "metrics": ["si_sdr_db"]}
    found, _ = study.run(write(tmp_path, **only_none, scenarios=scenarios, tests={"Other voices": pairs}))
    own = {row.cell: row.spreads["si_sdr_db"].mean for row in found[OWN]}
    methods = ["noisy", "teacher (teacher)", "none"]
    assert list(own) == [(scenario, method) for scenario in "ab" for method in methods]
    for plan in read_study(tmp_path / "trial.yaml")[1]:
        for model, method in (("noisy", "noisy"), (teacher["checkpoint"], "teacher (teacher)")):
            alone = run.evaluate(model, recipe=plan.recipe, metrics=("si_sdr_db",)).means()["si_sdr_db"]
            assert own[StudyCell(plan.cell.scenario, method)] == pytest.approx(alone)
    assert own[StudyCell("a", "noisy")] != own[StudyCell("b", "noisy")]
    assert [row.cell.scenario for row in found["Other voices"]] == ["", "", "a", "b"]
    assert all(row.size is not None for row in found[OWN] if row.cell.method != "noisy")


def test_a_further_test_set_is_scored_alone(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"seeds": [3], "methods": {"none": {}}, "metrics": ["si_sdr_db", "stoi"]}
    study.run(write(tmp_path, **changes))
    folder = tmp_path / "study" / "whole" / "none" / "seed-3"
    kept = [*folder.iterdir(), *(tmp_path / "study" / "references" / "noisy").iterdir()]
    before = {path: path.stat().st_mtime_ns for path in kept}

    pairs = dict(zip(("noisy", "clean"), write_pairs(tmp_path / "other", speakers=3), strict=True))
    path = write(tmp_path, **changes, tests={"Other voices": pairs})
    found, text = study.run(path)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert list(found) == [OWN, "Other voices"]
    (own, other) = found.values()
    assert [line.cell for line in own] == [line.cell for line in other]
    assert all(line.files == 6 for line in other)
    measured = run.evaluate(folder / "best.safetensors", (pairs["noisy"], pairs["clean"]), metrics=("si_sdr_db",))
    assert other[-1].spreads["si_sdr_db"].mean == measured.means()["si_sdr_db"]
    assert own[-1].spreads["si_sdr_db"].mean == Scores.from_json(folder / "scores.json").means()["si_sdr_db"]
    assert text.count("synthetic") == 2
    assert (folder / "scores-other-voices.csv").is_file()
    assert (tmp_path / "study" / "plot-other-voices-stoi.svg").is_file()
    kept = list(json.loads((tmp_path / "study" / "study.json").read_text("utf-8"))["tests"])
    assert kept == list(found)

    # Other folders under the same name are another test set.
    plan, (one,) = read_study(path)
    assert study_results.scored(plan, "Other voices", folder) is not None
    plan, _ = read_study(write(tmp_path, **changes, tests={"Other voices": {**pairs, "noisy": pairs["clean"]}}))
    assert study_results.scored(plan, "Other voices", one.folder) is None
    assert study_results.scored(plan, OWN, one.folder) is not None
