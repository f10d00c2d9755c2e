"""Runs side by side: scores belong to the weights and the test set that they stand for."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.corpora import FEW, write_pairs
from helpers.graphs import held_back
from helpers.recipes import SOUND, UNET, settings
from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.experiments import run
from sordino.experiments.compare import compare
from sordino.experiments.run import SCORES
from sordino.training.state import CHECKPOINT

RECIPE = {
    "title": "a student",
    "data": SOUND,
    "model": UNET,
    "train": settings(1, batch_size=1),
}


pytestmark = pytest.mark.usefixtures("few_test_pairs")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        run.train(RECIPE, [f"train.seed={seed}"], folder / f"seed{seed}")
    return [folder / "seed0", folder / "seed1"]


def test_only_the_usual_evaluation_becomes_a_runs_scores(runs: list[Path]) -> None:
    best = runs[0] / CHECKPOINT
    run.evaluate(best, split="valid", metrics=("si_sdr_db",))
    run.evaluate(best, metrics=("si_sdr_db",))
    run.evaluate(runs[0] / "last.safetensors", split="valid", metrics=("si_sdr_db",))
    assert not (runs[0] / SCORES).exists()
    assert run.evaluate(best).metadata["step"] == 1
    assert (runs[0] / SCORES).is_file()


def test_runs_of_one_title_are_kept_apart_and_the_noisy_input_comes_first(runs: list[Path], tmp_path: Path) -> None:
    rows, published = compare(runs, tmp_path / "report.html", examples=1)
    assert [row.name for row in rows] == ["noisy", f"a student ({runs[0]})", f"a student ({runs[1]})"]
    assert all(row.synthetic for row in rows[1:])
    assert published == []
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("<audio") == 4  # noisy, two students, clean


def test_scores_of_the_noisy_input_that_cannot_be_kept_stop_no_report(runs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs[0], folder)
    (folder / "noisy.json").unlink(missing_ok=True)
    (folder / "noisy.json").mkdir()
    assert [row.name for row in compare([folder])[0]] == ["noisy", "a student"]


def test_scores_of_other_weights_are_measured_again(runs: list[Path]) -> None:
    compare(runs)
    path = runs[1] / SCORES
    stale = Scores.from_json(path)
    stale.metadata["step"] = 99
    stale.rows = stale.rows[:1]
    stale.to_json(path)
    compare(runs)
    assert Scores.from_json(path).metadata["step"] == 1
    assert len(Scores.from_json(path).rows) == FEW


def test_runs_on_other_recordings_are_refused(runs: list[Path], tmp_path: Path) -> None:
    run.train(RECIPE, [], tmp_path / "other")
    scores = run.evaluate(tmp_path / "other" / CHECKPOINT)
    scores.rows = scores.rows[1:]
    scores.to_json(tmp_path / "other" / SCORES)
    with pytest.raises(InputError, match="other recordings"):
        compare([runs[0], tmp_path / "other"])
    with pytest.raises(InputError, match="no finished run") as raised:
        compare([tmp_path])
    assert raised.value.hint == f"the scores of models are in {tmp_path / 'other'}"


def test_a_recipe_without_a_test_set_is_named_with_what_can_be_scored(runs: list[Path], tmp_path: Path) -> None:
    noisy, clean = write_pairs(tmp_path, speakers=3)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"data: {{name: pairs, noisy: '{noisy}', clean: '{clean}'}}\n")
    with pytest.raises(
        InputError, match=r"mine\.yaml: its data has no test set; .*--split valid; .*, or test_fraction"
    ):
        run.evaluate(runs[0] / CHECKPOINT, recipe=recipe)


def as_it_is(noisy: np.ndarray) -> np.ndarray:
    return noisy


def test_a_model_is_a_row_with_size_speed_and_sound(runs: list[Path], tmp_path: Path) -> None:
    late = held_back(tmp_path / "late.onnx", 256)
    rows, _ = compare([runs[0], str(late)], tmp_path / "report.html", examples=1)
    assert [row.name for row in rows] == ["noisy", "a student", "late"]
    assert rows[2].means["si_sdr_db"] == pytest.approx(rows[0].means["si_sdr_db"], abs=1e-3)
    assert rows[2].params == 0
    assert [row.rtf is not None for row in rows] == [False, True, True]
    assert (tmp_path / "report.html").read_text("utf-8").count("<audio") == 4


def test_the_mean_that_teaches_is_a_row(runs: list[Path], tmp_path: Path) -> None:
    held_back(tmp_path / "late.onnx", 256)
    mean = tmp_path / "teacher.json"
    mean.write_text('{"mean": ["late.onnx", "late.onnx"]}')
    rows, _ = compare([runs[0], str(mean)], tmp_path / "report.html", examples=1)
    assert [row.name for row in rows] == ["noisy", "a student", "teacher"]
    assert rows[2].means["si_sdr_db"] == pytest.approx(rows[0].means["si_sdr_db"], abs=1e-3)
    assert (tmp_path / "report.html").read_text("utf-8").count("<audio") == 4
    mean.write_text('{"mean": ["late.onnx"]}')
    with pytest.raises(InputError, match=r"teacher\.json: mean is .*; expected a list of two or more models"):
        compare([runs[0], str(mean)])


def test_a_scored_model_from_elsewhere_is_a_row(runs: list[Path], tmp_path: Path) -> None:
    scored, model = tmp_path / "theirs", f"{__name__}:as_it_is"
    run.evaluate(model, recipe=runs[0] / "recipe.yaml", out=scored, workers=0)
    rows, _ = compare([scored, runs[0]], tmp_path / "report.html", examples=1)
    assert [row.name for row in rows] == ["noisy", model, "a student"]
    assert (rows[1].params, rows[1].flops_paper, rows[1].synthetic) == (None, None, True)
    assert rows[1].means == pytest.approx(rows[0].means, abs=1e-3)
    assert (tmp_path / "report.html").read_text("utf-8").count("<audio") == 3  # noisy, the student, clean
    with pytest.raises(InputError, match="scores alone"):
        compare([scored])
    other = Scores.from_json(scored / SCORES)
    other.metadata["sample_rate"] = 8000
    other.to_json(scored / SCORES)
    with pytest.raises(InputError, match=r"was scored at 8000 Hz, and .* at 16000 Hz"):
        compare([runs[0], scored])


def test_runs_and_models_are_compared_with_the_one_that_is_named_like_an_argument(
    runs: list[Path], tmp_path: Path
) -> None:
    late = str(held_back(tmp_path / "late.onnx", 256))
    for against, title in ((f"{runs[1]}", f"a student ({runs[1]})"), (late, "late"), ("noisy", "noisy")):
        rows, _ = compare([late, *map(str, runs)], against=against)
        assert {row.against for row in rows} == {title}
        assert [row.name for row in rows if not row.differences] == [title]
    with pytest.raises(InputError, match="--against: unet-24 is not in the table"):
        compare(runs, against="unet-24")
