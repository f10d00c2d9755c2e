"""A network trained on a differentiable PESQ is said to be so wherever its PESQ is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.recipes import recipe
from sordino import assets, models
from sordino.cli.main import main
from sordino.evaluation.pesq_trained import card_notes, pesq_trained, trains_on_pesq
from sordino.evaluation.score import Scores
from sordino.experiments import compare
from sordino.experiments import run as recipes
from sordino.experiments.build import learns_from_pesq
from sordino.experiments.recipe import read
from sordino.report.runs import RunRow, run_table
from sordino.report.studies import study_rows
from sordino.report.study_cells import StudyCell
from sordino.report.study_tables import study_tables

pytestmark = pytest.mark.usefixtures("few_test_pairs")
SENTENCE = "trained on a differentiable PESQ; read ESTOI, SI-SDR and DNSMOS beside its PESQ."


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps whose loss has a perceptual term."""
    folder = tmp_path_factory.mktemp("run")
    values = recipe(
        folder,
        data={"name": "synthetic", "segment_s": 1.0},
        model={"name": "demucs", "hidden": 4, "depth": 1},
        loss={"compressed": {}, "perceptual": {}},
        weights={"loss/perceptual": 0.01},
        stages=[],
    )
    for section in ("teacher", "distill"):
        values.pop(section)
    recipes.train(values, out=folder / "heard")
    return folder / "heard"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"loss": {"compressed": {}}}, False),
        ({"loss": {"compressed": {}, "perceptual": {}}}, True),
        ({"loss": {"perceptual": None}}, False),
        ({"loss": {"perceptual": {}}, "weights": {"loss/perceptual": 0.0}}, False),
        ({"loss": {"perceptual": {}}, "weights": {"loss/perceptual": 0.0}, "stages": [{}]}, False),
        (
            {
                "loss": {"perceptual": {}},
                "weights": {"loss/perceptual": 0.0},
                "stages": [{}, {"weights": {"loss/perceptual": 0.01}}],
            },
            True,
        ),
        ({"loss": {}, "distill": {"output": {"loss": "perceptual"}}}, True),
        ({"loss": {}, "distill": {"output": {"loss": "perceptual"}}, "weights": {"kd/output": 0.0}}, False),
        ({"loss": {}, "distill": {"output": {"loss": {"compressed": 1.0, "perceptual": 0.01}}}}, True),
        ({"loss": {}, "distill": {"output": {"loss": {"compressed": 1.0, "perceptual": 0.0}}}}, False),
        ({"loss": {}, "distill": {"output": {"loss": "l1"}, "mvat": None}}, False),
    ],
)
def test_a_recipe_trains_on_pesq_if_the_loss_weighs_anything_in_it(values: dict[str, Any], expected: bool) -> None:
    assert trains_on_pesq(values) is expected


def test_a_checkpoint_says_so_and_whoever_learns_from_it(run: Path, tmp_path: Path) -> None:
    checkpoint = run / "best.safetensors"
    assert models.read_header(checkpoint)["about"]["perceptual"] is True
    plain = {"data": {"name": "synthetic"}, "model": {"name": "unet"}, "loss": {"l1": {}}}
    assert learns_from_pesq(read({**plain, "model": {"checkpoint": str(checkpoint)}}))
    assert learns_from_pesq(read({**plain, "teacher": {"checkpoint": str(checkpoint)}}))
    assert not learns_from_pesq(read({**plain, "teacher": {"checkpoint": "unet-24"}}))
    assert not pesq_trained({})
    assert not pesq_trained({"about": "no JSON"})


def test_its_scores_say_so_from_a_checkpoint_and_from_onnx(run: Path, tmp_path: Path) -> None:
    recipes.export(run / "best.safetensors", tmp_path / "student.onnx")
    for model in (run / "best.safetensors", tmp_path / "student.onnx"):
        scores = recipes.evaluate(model, recipe=run / "recipe.yaml", metrics=("si_sdr_db",), workers=0)
        assert scores.metadata["perceptual"] is True
    noisy = recipes.evaluate("noisy", recipe=run / "recipe.yaml", metrics=("si_sdr_db",), workers=0)
    assert "perceptual" not in noisy.metadata


def scores(**metadata: Any) -> Scores:
    return Scores([{"id": "a", "speaker": "s", "seconds": 1.0, "pesq_wb": 2.0}], ("pesq_wb",), [], metadata)


@pytest.mark.parametrize("style", ["text", "markdown", "latex"])
def test_tables_name_it_and_nobody_else(style: Any) -> None:
    rows = [RunRow.of(scores(model="plain")), RunRow.of(scores(model="tuned", perceptual=True))]
    assert f"tuned: {SENTENCE}" in run_table(rows).write(style)
    assert SENTENCE not in run_table(rows[:1]).write(style)
    cells = {StudyCell("here", "plain"): [scores()], StudyCell("here", "tuned"): [scores(perceptual=True)]}
    assert f"tuned: {SENTENCE}" in study_tables({"": study_rows(cells, None)})[0].write(style)
    plain = study_rows({StudyCell("here", "plain"): [scores()]}, None)
    assert SENTENCE not in study_tables({"": plain})[0].write(style)


def test_reports_and_the_command_that_scores_say_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", str(run / "best.safetensors"), "--workers", "0"])
    assert f"best: {SENTENCE}" in capsys.readouterr().out
    page = run / "report.html"
    rows, _ = compare.compare([run], page, examples=1)
    assert [row.perceptual for row in rows] == [False, True]
    assert SENTENCE in page.read_text("utf-8")


def test_cards_of_students_that_ship_say_so() -> None:
    cards = json.loads(json.dumps(assets.shipped()))
    before = card_notes(cards)
    name = next(iter(cards))
    cards[name]["training"]["recipe"]["loss"]["perceptual"] = {}
    assert f"{name}: {SENTENCE}" in card_notes({name: cards[name]})
    assert [note for note in before if SENTENCE not in note] == []
