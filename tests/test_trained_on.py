"""A network trained on a metric is said to be so wherever the metric is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.recipes import recipe
from sordino import assets, models
from sordino.cli.main import main
from sordino.evaluation.score import Scores
from sordino.evaluation.trained_on import card_notes, recipe_trains_on, trained_on
from sordino.experiments import compare
from sordino.experiments import run as recipes
from sordino.experiments.build import learns_from
from sordino.experiments.recipe import read
from sordino.report.runs import RunRow, run_table
from sordino.report.studies import study_rows
from sordino.report.study_cells import StudyCell
from sordino.report.study_tables import study_tables

pytestmark = pytest.mark.usefixtures("few_test_pairs")
PESQ, STOI, BOTH, LLR = ("perceptual",), ("stoi",), ("perceptual", "stoi"), ("llr",)
ALL = ("perceptual", "stoi", "llr")
TRAINED = (
    "trained on a differentiable {0}, or taught by a network that was; "
    "its {2} higher than it sounds: compare {1} as well."
)
SENTENCE = TRAINED.format("PESQ", "ESTOI, SI-SDR and DNSMOS", "PESQ is")
SENTENCES = {
    PESQ: SENTENCE,
    STOI: TRAINED.format("STOI", "PESQ, SI-SDR and DNSMOS", "STOI is"),
    BOTH: TRAINED.format("PESQ and STOI", "SI-SDR and DNSMOS", "PESQ and STOI are"),
    ALL: TRAINED.format("PESQ, STOI and LLR", "SI-SDR and DNSMOS", "PESQ, STOI, CSIG and COVL are"),
    LLR: TRAINED.format("LLR", "PESQ, ESTOI, SI-SDR and DNSMOS", "CSIG and COVL are"),
}


def _of_several(sentence: str) -> str:
    return sentence.replace("its ", "their ").replace("it sounds", "they sound")


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
    recipes.train(values, out=folder / "tuned")
    return folder / "tuned"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"loss": {"compressed": {}}}, ()),
        ({"loss": {"compressed": {}, "perceptual": {}}}, PESQ),
        ({"loss": {"stoi": {"extended": True}}}, STOI),
        ({"loss": {"stoi": {}}, "distill": {"output": {"loss": {"l1": 1, "perceptual": 0.1}}}}, BOTH),
        ({"loss": {"llr": {}}}, LLR),
        ({"loss": {"perceptual": None}}, ()),
        ({"loss": {"perceptual": {}}, "weights": {"loss/perceptual": 0.0}}, ()),
        ({"loss": {"perceptual": {}}, "weights": {"loss/perceptual": 0.0}, "stages": [{}]}, ()),
        (
            {
                "loss": {"perceptual": {}},
                "weights": {"loss/perceptual": 0.0},
                "stages": [{}, {"weights": {"loss/perceptual": 0.01}}],
            },
            PESQ,
        ),
        ({"loss": {}, "distill": {"output": {"loss": "perceptual"}}}, PESQ),
        ({"loss": {}, "distill": {"output": {"loss": "perceptual"}}, "weights": {"kd/output": 0.0}}, ()),
        ({"loss": {}, "distill": {"output": {"loss": {"compressed": 1.0, "perceptual": 0.01}}}}, PESQ),
        ({"loss": {}, "distill": {"output": {"loss": {"compressed": 1.0, "perceptual": 0.0}}}}, ()),
        ({"loss": {}, "distill": {"output": {"loss": "l1"}, "mvat": None}}, ()),
    ],
)
def test_a_recipe_trains_on_a_metric_if_its_loss_weighs_anything(values: dict[str, Any], expected: Any) -> None:
    assert recipe_trains_on(values) == expected


def test_a_checkpoint_says_so_and_whoever_learns_from_it(run: Path, tmp_path: Path) -> None:
    checkpoint = run / "best.safetensors"
    assert models.read_header(checkpoint)["about"]["perceptual"] is True
    plain = {"data": {"name": "synthetic"}, "model": {"name": "unet"}, "loss": {"l1": {}}}
    assert models.read_header(checkpoint)["about"]["stoi"] is False
    assert learns_from(read({**plain, "model": {"checkpoint": str(checkpoint)}})) == PESQ
    assert learns_from(read({**plain, "teacher": {"checkpoint": str(checkpoint)}})) == PESQ
    assert learns_from(read({**plain, "loss": {"stoi": {}}, "teacher": {"checkpoint": str(checkpoint)}})) == BOTH
    assert learns_from(read({**plain, "teacher": {"checkpoint": "manner-s-1.5gf"}})) == ()
    assert trained_on({}) == ()
    assert trained_on({"about": "no JSON"}) == ()


def test_its_scores_say_so_from_a_checkpoint_and_from_onnx(run: Path, tmp_path: Path) -> None:
    recipes.export(run / "best.safetensors", tmp_path / "student.onnx")
    for model in (run / "best.safetensors", tmp_path / "student.onnx"):
        scores = recipes.evaluate(model, recipe=run / "recipe.yaml", metrics=("si_sdr_db",), workers=0)
        assert scores.metadata["perceptual"] is True
    noisy = recipes.evaluate("noisy", recipe=run / "recipe.yaml", metrics=("si_sdr_db",), workers=0)
    assert "perceptual" not in noisy.metadata


def scores(**metadata: Any) -> Scores:
    return Scores([{"id": "a", "speaker": "s", "seconds": 1.0, "pesq_wb": 2.0}], ("pesq_wb",), [], metadata)


@pytest.mark.parametrize("losses", SENTENCES)
@pytest.mark.parametrize("style", ["text", "markdown", "latex"])
def test_tables_name_it_and_nobody_else(style: Any, losses: tuple[str, ...]) -> None:
    tuned = dict.fromkeys(losses, True)
    rows = [RunRow.of(scores(model="plain")), RunRow.of(scores(model="tuned", **tuned))]
    assert f"tuned: {SENTENCES[losses]}" in run_table(rows).write(style)
    assert "trained on a" not in run_table(rows[:1]).write(style)
    rows.append(RunRow.of(scores(model="other", **tuned)))
    assert f"tuned, other: {_of_several(SENTENCES[losses])}" in run_table(rows).write(style)
    cells = {StudyCell("here", "plain"): [scores()], StudyCell("here", "tuned"): [scores(**tuned)]}
    assert f"tuned: {SENTENCES[losses]}" in study_tables({"": study_rows(cells, None)})[0].write(style)
    plain = study_rows({StudyCell("here", "plain"): [scores()]}, None)
    assert "trained on a" not in study_tables({"": plain})[0].write(style)


def test_reports_and_the_command_that_scores_say_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", str(run / "best.safetensors"), "--workers", "0"])
    assert f"{run.name}: {SENTENCE}" in capsys.readouterr().out
    page = run / "report.html"
    rows, _ = compare.compare([run], page, examples=1)
    assert [row.trained_on for row in rows] == [(), PESQ]
    assert SENTENCE in page.read_text("utf-8")


def test_cards_of_students_that_ship_say_so() -> None:
    cards = json.loads(json.dumps(assets.shipped()))
    before = card_notes(cards)
    name = next(iter(cards))
    cards[name]["training"]["recipe"]["loss"]["perceptual"] = {}
    for loss in ("stoi", "llr"):
        cards[name]["training"]["recipe"]["loss"].pop(loss, None)
        cards[name]["training"][loss] = False
    cards[name]["training"]["perceptual"] = True
    assert f"{name}: {SENTENCE}" in card_notes({name: cards[name]})
    known = (*SENTENCES.values(), *map(_of_several, SENTENCES.values()))
    assert [note for note in before if not note.endswith(known)] == []
