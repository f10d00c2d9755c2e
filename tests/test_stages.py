"""Stages of a run: how recipes state them, how they share its steps, and resets between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.recipes import recipe
from helpers.runs import interrupt_at, same_weights, timeless
from sordino.errors import InputError
from sordino.experiments import run as recipes
from sordino.experiments.recipe import read
from sordino.training import Ramp, Stage, read_log
from sordino.training.stages import optimizer_range, stage_index, stage_ranges


def test_recipes_carry_weights_and_stages(tmp_path: Path) -> None:
    checked = read(recipe(tmp_path) | {"weights": {"loss/weighted": {"ramp": "cosine", "steps": 7}}})
    assert checked.weights == {"loss/weighted": Ramp("cosine", 7)}
    assert checked.stages == (Stage(0.5, weights={"loss/weighted": 0.0}), Stage(weights={"kd/output": 0.0}, reset=True))
    assert checked.to_mapping()["weights"] == {"loss/weighted": {"ramp": "cosine", "steps": 7}}
    for wrong, message in (
        ({"weights": {"loss/weighted": {"balnce": 1.0}}}, "weights.loss/weighted.balnce: no such key"),
        ({"weights": {"loss/weighted": {"balance": "much"}}}, "; expected a number"),
        (
            {"weights": {"loss/weighted": {"balance": -1}}},
            "weights.loss/weighted: balance -1.0 every 25 steps;",
        ),
        ({"stages": [{"weights": 3}]}, "stages.0.weights: 3 is no section"),
        ({"stages": {"share": 1}}, "is no list of sections"),
        ({"stages": [{"shre": 0.5}]}, "did you mean share?"),
        ({"stages": [{"weights": {"loss/weighted": "x"}}]}, "stages.0.weights.loss/weighted: 'x'; expected a number"),
    ):
        with pytest.raises(InputError, match="recipe") as caught:
            read(recipe(tmp_path) | wrong)
        assert message in str(caught.value)


def test_stages_share_the_steps_and_optimisers_span_from_reset_to_reset() -> None:
    plan = stage_ranges(
        [
            Stage(share=0.2),
            Stage(epochs=3, reset=True),
            Stage(),
        ],
        100,
        10,
    )
    assert [tuple(leg) for leg in plan] == [(0, 20, False), (20, 50, True), (50, 100, False)]
    assert [stage_index(plan, step) for step in (0, 19, 20, 49, 50, 99, 500)] == [0, 0, 1, 1, 2, 2, 2]
    assert [optimizer_range(plan, step) for step in (0, 19, 20, 99)] == [(0, 20), (0, 20), (20, 100), (20, 100)]
    assert stage_ranges([], 7, 3) == [(0, 7, False)]
    for wrong in (
        [Stage(), Stage()],
        [Stage(share=0.5, epochs=1), Stage()],
        [Stage(share=0.5)],
        [Stage(epochs=99), Stage()],
        [Stage(epochs=0), Stage()],
    ):
        with pytest.raises(InputError, match="stages"):
            stage_ranges(wrong, 100, 10)


def test_stages_change_terms_and_start_the_schedule_anew(tmp_path: Path) -> None:
    recipes.train(recipe(tmp_path), out=tmp_path / "run")
    log = [record for record in read_log(tmp_path / "run") if "total" in record]
    assert ["kd/output" in record for record in log] == [True] * 3 + [False] * 3
    assert ["loss/weighted" in record for record in log] == [False] * 3 + [True] * 3
    assert [record["lr"] for record in log[:3]] == [record["lr"] for record in log[3:]]


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_run_resumed_before_at_or_after_a_reset_is_the_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    values = recipe(tmp_path, weights={"kd/output": {"balance": 1.0, "every": 1}})
    values["stages"][0]["weights"] = {}
    whole = recipes.train(values, out=tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        recipes.train(values, out=tmp_path / "cut", progress=interrupt_at(stop))
    resumed = recipes.train(values, out=tmp_path / "cut", resume=True)
    assert same_weights(whole.checkpoint.parent, resumed.checkpoint.parent, whole.checkpoint.name)
    logs = [timeless(tmp_path / run) for run in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert all(record["pull/kd/output"] > 0 for record in logs[0] if "kd/output" in record)
