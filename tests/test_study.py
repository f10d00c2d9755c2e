"""Studies: every cell trained once, resumed where it stopped, and summed up as it was measured."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from helpers.corpora import write_pairs
from helpers.ranks import copies
from helpers.recipes import SOUND, UNET, settings
from sordino import models
from sordino.assets import studies
from sordino.cli.main import main
from sordino.distill.methods import METHODS
from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.evaluation.statistics import OVER_BOTH, OVER_FILES
from sordino.experiments import run, study, study_results
from sordino.experiments.study_plan import OWN, ScoredSet, read_study
from sordino.inference.resolve import ModelSource
from sordino.report.paper import results
from sordino.report.studies import StudyRow, study_rows
from sordino.report.study_cells import NetworkSize, StudyCell
from sordino.report.study_tables import study_tables
from sordino.report.table import Style, write_tables

RECIPE = {
    "data": {**SOUND, "valid_items": 2},
    "model": UNET,
    "loss": {"compressed": {}},
    "train": settings(2),
}


pytestmark = pytest.mark.usefixtures("few_test_pairs")
PAIR = {"noisy": "noisy", "clean": "clean"}
BASELINE = "MANNER-S-1.5GF (Baseline)"


@pytest.fixture(scope="module", autouse=True)
def started() -> None:
    """The process that those of the runs are copies of, with all that they need."""
    copies()


def write(folder: Path, **changes: Any) -> Path:
    torch.manual_seed(1)
    teacher = folder / "teacher" / "best.safetensors"
    teacher.parent.mkdir(exist_ok=True)
    models.save(models.create("unet", width=6, depth=2, groups=1), teacher)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    values = {
        "title": "A trial",
        "out": str(folder / "study"),
        "recipe": "recipe.yaml",
        "seeds": [0, 1],
        "against": "none",
        "scenarios": {"whole": {"teacher": {"checkpoint": str(teacher)}}},
        "methods": {"none": {}, "output": {"distill": {"output": {"loss": "l1"}}}},
        "metrics": ["si_sdr_db", "stoi"],
        "jobs": 2,
        **changes,
    }
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def summed_up(path: Path) -> tuple[list[list[StudyRow]], str]:
    """The rows of every test set, and the tables as text."""
    found, text = study.run(path)
    return list(found.values()), text


@pytest.mark.parametrize("name", studies())
def test_shipped_studies_hold_recipes_without_errors(name: str) -> None:
    plan, runs = read_study(name)
    assert len(runs) == len(plan.scenarios) * len(plan.methods) * len(plan.seeds)
    assert len({one.folder for one in runs}) == len(runs)
    assert len({json.dumps(one.recipe.to_mapping(), sort_keys=True) for one in runs}) == len(runs)
    assert plan.against in plan.methods
    for one in runs:
        assert not one.recipe.methods or one.recipe.teacher is not None
        assert one.recipe.train.seed == one.seed


def test_all_methods_stand_in_the_study_of_methods() -> None:
    _, runs = read_study("methods")
    assert {name for one in runs for name in one.recipe.methods} == set(METHODS) - {"mvat"}


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


def test_a_run_that_fails_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    methods = {"none": {}, "views": {"distill": {"mvat": {}}}}  # which no U-Net has
    path = write(tmp_path, methods=methods, seeds=[0])
    with pytest.raises(InputError, match=r"1 of 2 runs failed; the error of this one: .*share no channel or global"):
        study.run(path)
    assert (tmp_path / "study" / "whole" / "none" / "seed-0" / "scores.json").exists()
    assert (tmp_path / "study" / "table.md").exists()


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "nothing.yaml"}, "no such recipe"),
        ({"against": "nobody"}, "nobody is no method"),
        ({"methds": {}}, "did you mean methods?"),
        ({"seeds": "many"}, "seeds"),
        ({"methods": {"none": {"distill": {"ouptut": {}}}}}, "did you mean output?"),
        ({"scenarios": {"odd": {"model": {"wdith": 3}}}}, "did you mean width?"),
        ({"methods": {"1/2": {}, "1-2": {}}, "against": None}, "whole, 1-2, seed 0 shares the folder"),
        ({"seeds": []}, "seeds: is empty, so there is no run"),
        ({"methods": {}, "against": None}, "methods: is empty"),
        ({"scenarios": {}}, "scenarios: is empty"),
        ({"seeds": [0, 0]}, "whole, none, seed 0 shares the folder"),
        ({"tests": {"other": {"noisy": "noisy"}}}, "tests.other: one folder"),
        ({"tests": {"other": "noisy"}}, "'noisy' is no section"),
        ({"tests": {"other": {"paper": 7}}}, "tests.other.paper: 7; expected a table of the paper, 1, 2, 3"),
        ({"tests": {"one": {}, "two": {}}}, "at most one without folders"),
        ({"tests": {"a b": PAIR, "a-b": PAIR}}, "names that differ in letters or digits"),
        ({"methods": {"noisy": {}}, "against": None}, "methods: noisy is the row of the noisy input"),
        ({"paper": {"nonne": BASELINE}, "tests": {"own": {"paper": 1}}}, "paper: nonne is no method"),
        ({"paper": {"none": BASELINE}}, "in the tables that the test sets name (none)"),
        ({"paper": {"none": "BEST"}, "tests": {"own": {"paper": 1}}}, "no row 'BEST'"),
    ],
)
def test_mistakes_in_a_study_are_reported(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_study(write(tmp_path, **changes))
    assert message in str(caught.value)
    with pytest.raises(InputError, match="no such study"):
        read_study("nothing")


def table(tests: dict[str, list[StudyRow]], style: Style = "text", against: str | None = None, note: str = "") -> str:
    """The tables of a study in one document."""
    return write_tables(study_tables(tests, against, note=note), style)


def fake(value: float, files: int = 3) -> Scores:
    rows = [{"id": str(i), "pesq_wb": value + i} for i in range(files)]
    return Scores(rows, ("pesq_wb",))


def test_lines_by_hand() -> None:
    scores = {StudyCell("a", "none"): [fake(1.0), fake(2.0)], StudyCell("a", "kd"): [fake(2.0), fake(4.0)]}
    plain, taught = study_rows(scores, "none")
    assert (plain.spreads["pesq_wb"].mean, plain.spreads["pesq_wb"].std) == pytest.approx((2.5, 0.5**0.5))
    assert plain.differences == {}
    # All files differ alike, so that the interval is that of two means of two seeds, of variances 0.5 and 2 (Welch): t
    # of (0.25 + 1)^2 / (0.25^2 + 1^2) = 1.47 degrees of freedom.
    half = 6.188115 * (0.5 / 2 + 2 / 2) ** 0.5
    assert taught.differences["pesq_wb"] == pytest.approx((3, 1.5, 1.5 - half, 1.5 + half), rel=1e-6)
    assert plain.summaries["pesq_wb"].mean == pytest.approx(2.5)
    found = {"here": [plain, taught]}
    assert "+1.50 [-5.42, 8.42]" in table(found, against="none")
    assert "over files and seeds (t with Satterthwaite's" in table(found, against="none", note="Mind row kd.")
    assert "Mind row kd." in table(found, against="none", note="Mind row kd.")
    (row,) = (row for row in csv.DictReader(table(found, "csv").splitlines()) if row["method"] == "kd")
    assert float(row["pesq_wb_low"]) < float(row["pesq_wb"]) < float(row["pesq_wb_high"])
    single = study_rows({cell: runs[:1] for cell, runs in scores.items()}, "none")
    assert "95 % interval over files (Student's t" in table({"": single}, against="none")
    assert "over 2 seed(s), on 3 file(s)" in table(found)
    assert "here" not in table(found)
    assert r"\toprule" in table(found, "latex", "none")
    with pytest.raises(InputError, match="no finished run"):
        table({"here": []})


def test_a_table_for_each_test_set_with_the_papers_figures_beside_ours() -> None:
    (row,) = (row for row in results(1) if row.name == BASELINE)
    cell = StudyCell("a", "none")
    first = study_rows({cell: [fake(1.0)]}, None, {cell: NetworkSize(1500.0, 2e9)}, {cell: row})
    second = study_rows({cell: [fake(3.0, files=2)]}, None)
    found = {"first": first, "second": second}
    one, two = table(found, "markdown").split("**second**")
    assert one.startswith("**first**")
    header, _, figures = (line.strip("|").split("|") for line in one.splitlines()[2:5])
    assert dict(zip(map(str.strip, header), map(str.strip, figures), strict=True)) == {
        "Scenario": "a",
        "Method": "none",
        "Params (K)": "1.5",
        "Params (K), printed": "260.0",
        "FLOPs, paper (G)": "2.00",
        "FLOPs, paper (G), printed": "1.46",
        "Seeds": "1",
        "PESQ-wb": "2.00",
        "PESQ-wb, printed": "2.88",
    }
    assert "Interspeech 2022" in one
    assert "824 utterances" in one
    assert "printed" not in two
    assert "on 2 file(s)" in two
    rows = list(csv.DictReader(table(found, "csv").splitlines()))
    assert [row["test"] for row in rows] == ["first", "second"]
    assert [row["pesq_wb_printed"] for row in rows] == ["2.88", ""]
    assert "% second" in table(found, "latex")


def test_the_paper_stands_beside_what_its_names_say() -> None:
    cells = [
        StudyCell("a", "none"),
        StudyCell("b", "none"),
        StudyCell("b", "kd"),
        StudyCell("", "big (teacher)"),
        StudyCell("", "noisy"),
    ]
    rows = {"none": BASELINE, "b/none": "MANNER-S-5.3GF (Baseline)", "big (teacher)": "MANNER-B-Teacher"}
    first, second = (study_results.printed(rows, ScoredSet(paper=table), cells) for table in (1, 2))
    assert {cell: row.name for cell, row in first.items()} == dict(
        zip(cells[:2] + cells[3:4], rows.values(), strict=True)
    )
    assert {row.means["pesq_wb"] for row in second.values()} == {2.47, 2.70}  # table 2 has another teacher
    assert study_results.printed(rows, ScoredSet(), cells) == {}


def test_a_figure_that_one_side_lacks_has_no_difference() -> None:
    failed = Scores([{"id": "0"}], ("pesq_wb",))
    more = Scores([{"id": "0", "pesq_wb": 1.0, "stoi": 0.5}], ("pesq_wb", "stoi"))
    none, kd = study_rows({StudyCell("a", "none"): [failed], StudyCell("a", "kd"): [fake(1.0), more]}, "none")
    assert none.spreads == {}
    assert list(kd.spreads) == ["pesq_wb"]
    assert kd.differences == {}
    assert "±" in table({"": [none, kd]}, against="none")


def test_means_that_lack_files_say_so() -> None:
    rows = [{"id": str(i), **({"pesq_wb": 2.0 + i} if i > 0 else {})} for i in range(3)]
    cells = {StudyCell("a", "none"): [fake(1.0)], StudyCell("a", "kd"): [Scores(rows, ("pesq_wb",)), fake(1.0, 2)]}
    none, kd = study_rows(cells, "none")
    assert (none.files, kd.files, kd.summaries["pesq_wb"].n) == (3, 3, 1)
    text = table({"": [none, kd]}, against="none")
    assert "Not on all files, so that only Δ compares: a kd, PESQ-wb: on 1 of 3 files." in text
    assert "Not on all files" not in table({"": [none]}, against="none")


@pytest.mark.parametrize(
    ("seeds", "wanted", "other"),
    [
        ({"a": (1, 1)}, OVER_FILES, OVER_BOTH),
        ({"a": (2, 2)}, f"with its {OVER_BOTH}.", OVER_FILES),
        ({"a": (1, 1), "b": (2, 2)}, f"with its {OVER_BOTH}; of one seed against one, its {OVER_FILES}.", "A single"),
        ({"a": (3, 1)}, f"with its {OVER_BOTH}. A single seed against several counts as varying", OVER_FILES),
    ],
)
def test_intervals_are_called_what_they_are(seeds: dict[str, tuple[int, int]], wanted: str, other: str) -> None:
    cells = {
        StudyCell(scenario, method): [fake(1.0 + seed) for seed in range(count)]
        for scenario, counts in seeds.items()
        for method, count in zip(("none", "kd"), counts, strict=True)
    }
    text = table({"": study_rows(cells, "none")}, against="none")
    assert wanted in text
    assert other not in text


def test_a_run_that_was_stopped_is_not_done_when_it_has_scores(tmp_path: Path) -> None:
    path = write(tmp_path, seeds=[3], methods={"none": {}}, scenarios={"all": {}}, metrics=["si_sdr_db"])
    study.run(path)
    (one,) = read_study(path)[1]
    (one.folder / "last.safetensors").unlink()  # which a run writes at its end
    assert (one.folder / "scores.json").is_file()
    assert not study._finished(one, read_study(path)[0])


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


def test_all_broken_methods_are_told_at_once(tmp_path: Path) -> None:
    methods = {"none": {}, "a": {"distill": {"outptu": {}}}, "b": {"train": {"batch_size": 0}}}
    with pytest.raises(InputError, match=r"whole, a: distill\.outptu: .*; whole, b: train\.batch_size: 0") as raised:
        study.read_study(write(tmp_path, methods=methods))
    assert "none" not in str(raised.value)


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
