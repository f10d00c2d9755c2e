"""Weights, stages and partial labels."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import batch_of, objective_of, pair, recipe
from torch import Tensor

from sotto import data, recipes, schema
from sotto.audio import io
from sotto.data import PartlyLabelled, Synthetic
from sotto.distill import METHODS
from sotto.errors import InputError
from sotto.losses import LOSSES
from sotto.train import Balance, Objective, Ramp, Stage, read_log
from sotto.train.checks import check
from sotto.train.stages import leg_at, legs, span_at
from sotto.types import Batch

# Weights


def test_ramps_go_from_start_to_end_and_stay() -> None:
    linear, cosine = Ramp("linear", 10, 1.0, 3.0), Ramp("cosine", 10)
    assert [linear.at(step) for step in (0, 5, 10, 99)] == [1.0, 2.0, 3.0, 3.0]
    assert [cosine.at(step) for step in (0, 5, 10)] == pytest.approx([0, 0.5, 1])
    assert cosine.at(2) == pytest.approx((1 - math.cos(math.pi / 5)) / 2)


def test_balance_makes_gradients_of_the_wanted_ratio_and_freezes() -> None:
    student, objective = objective_of(weights={"kd/output": Balance(0.5, steps=1), "loss/l1": 3.0})
    batch = batch_of()
    objective(student, batch)
    weight = objective.weighting.at(0)["kd/output"]

    def length(term: Tensor) -> float:
        gradients = torch.autograd.grad(term, list(student.parameters()), allow_unused=True, retain_graph=True)
        return math.sqrt(sum(g.square().sum().item() for g in gradients if g is not None))

    _, terms = objective(student, batch)
    assert weight * length(terms["kd/output"]) == pytest.approx(0.5 * length(3 * terms["loss/l1"]), rel=1e-4)
    objective(student, Batch(batch.noisy.flip(0) * 2, batch.clean, batch.lengths))
    assert objective.weighting.at(5)["kd/output"] == weight
    assert objective.weighting.moving(0) == {"weight/kd/output": weight}
    assert "weighting.measured" in objective.state_dict()


def test_what_does_not_compare_two_gradients_does_not_count_for_balance() -> None:
    student, objective = objective_of(weights={"kd/output": Balance(0.5, steps=3)})
    batch = batch_of()
    objective(student, Batch(batch.noisy, None, batch.lengths, batch.ids))
    assert objective.weighting.at(0)["kd/output"] == 0
    objective(student, batch)
    weight = objective.weighting.at(0)["kd/output"]
    assert weight > 0
    objective(student, Batch(batch.noisy, None, batch.lengths, batch.ids))
    assert objective.weighting.at(0)["kd/output"] == weight

    weights = {"kd/output": Balance(0.5), "loss/l1": Ramp("linear", 10)}
    student, objective = objective_of(weights=weights)
    objective(student, batch, 0)  # where the loss still weighs 0
    objective(student, batch, 10)
    assert objective.weighting.at(10)["kd/output"] == pytest.approx(weight, rel=1e-5)


def test_a_term_of_weight_zero_is_not_computed_and_its_teacher_not_asked() -> None:
    student, objective = objective_of(weights={"kd/output": 0.0})
    objective.teacher = None
    _, terms = objective(student, batch_of())
    assert set(terms) == {"loss/l1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"kd/outptu": 1.0}}, "did you mean kd/output"),
        ({"stages": [{"kd/outptu": 1.0}, {}]}, "stages.0.weights.kd/outptu"),
        ({"weights": {"kd/output": 0.0, "loss/l1": 0.0}}, "nothing to minimise"),
        ({"weights": {"kd/output": Balance(1.0), "loss/l1": 0.0}}, "every term is balanced"),
    ],
)
def test_weights_that_make_no_sense_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective_of(**options)


def test_recipes_carry_weights_and_stages(tmp_path: Path) -> None:
    values = schema.read(recipe(tmp_path) | {"weights": {"loss/weighted": {"ramp": "cosine", "steps": 7}}})
    assert values["weights"] == {"loss/weighted": {"ramp": "cosine", "steps": 7}}
    for wrong, message in (
        ({"weights": {"loss/weighted": {"balnce": 1.0}}}, "weights.loss/weighted.balnce: no such key"),
        ({"weights": {"loss/weighted": {"balance": "much"}}}, "is no float"),
        ({"stages": {"share": 1}}, "is no list of sections"),
        ({"stages": [{"shre": 0.5}]}, "did you mean share?"),
        ({"stages": [{"weights": {"loss/weighted": "x"}}]}, "stages.0.weights.loss/weighted: 'x' is no float"),
    ):
        with pytest.raises(InputError, match="recipe") as caught:
            schema.read(recipe(tmp_path) | wrong)
        assert message in str(caught.value)


# Stages


def test_stages_share_the_steps_and_optimisers_span_from_reset_to_reset() -> None:
    plan = legs(
        [
            Stage(share=0.2),
            Stage(epochs=3, reset=True),
            Stage(),
        ],
        100,
        10,
    )
    assert [tuple(leg) for leg in plan] == [(0, 20, False), (20, 50, True), (50, 100, False)]
    assert [leg_at(plan, step) for step in (0, 19, 20, 49, 50, 99, 500)] == [0, 0, 1, 1, 2, 2, 2]
    assert [span_at(plan, step) for step in (0, 19, 20, 99)] == [(0, 20), (0, 20), (20, 100), (20, 100)]
    assert legs([], 7, 3) == [(0, 7, False)]
    for wrong in (
        [Stage(), Stage()],
        [Stage(share=0.5, epochs=1), Stage()],
        [Stage(share=0.5)],
        [Stage(epochs=99), Stage()],
        [Stage(epochs=0), Stage()],
    ):
        with pytest.raises(InputError, match="stages"):
            legs(wrong, 100, 10)


def test_stages_change_terms_and_start_the_schedule_anew(tmp_path: Path) -> None:
    recipes.train(recipe(tmp_path), out=tmp_path / "run")
    log = [record for record in read_log(tmp_path / "run") if "total" in record]
    assert ["kd/output" in record for record in log] == [True] * 3 + [False] * 3
    assert ["loss/weighted" in record for record in log] == [False] * 3 + [True] * 3
    assert [record["lr"] for record in log[:3]] == [record["lr"] for record in log[3:]]


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_run_resumed_before_at_or_after_a_reset_is_the_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    values = recipe(tmp_path, weights={"kd/output": {"balance": 1.0}})
    values["stages"][0]["weights"] = {}
    whole = recipes.train(values, out=tmp_path / "whole")

    def interrupt(_task: str, done: int, _total: int, _numbers: dict[str, float]) -> None:
        if done == stop:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        recipes.train(values, out=tmp_path / "cut", progress=interrupt)
    resumed = recipes.train(values, out=tmp_path / "cut", resume=True)
    one, other = (load_file(run.checkpoint) for run in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


# Labels


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for index, item in enumerate(data.create("synthetic", valid_items=3).valid()):
        io.write(folder / f"{index}.wav", item.noisy[None], 16000)
    return folder


def test_losses_see_the_labelled_items_alone() -> None:
    student, objective = objective_of()
    student.eval()
    batch = batch_of(4)
    assert batch.clean is not None
    partly = Batch(batch.noisy, batch.clean, batch.lengths, batch.ids, torch.tensor([True, False, True, False]))
    half = Batch(batch.noisy[::2], batch.clean[::2], batch.lengths[::2], batch.ids[::2])
    with torch.no_grad():
        assert objective(student, partly)[1]["loss/l1"].item() == pytest.approx(
            objective(student, half)[1]["loss/l1"].item()
        )
        assert objective(student, partly)[1]["kd/output"].item() == objective(student, batch)[1]["kd/output"].item()
    none = Batch(batch.noisy, None, batch.lengths, batch.ids)
    total, terms = objective(student, none)
    assert terms["loss/l1"].item() == 0
    assert total.item() == pytest.approx(terms["kd/output"].item())


def test_partly_labelled_data_have_the_share_that_was_asked_for(recordings: Path) -> None:
    source = PartlyLabelled(Synthetic(segment_s=0.5, epoch_size=30), str(recordings), 0.25)
    segments = source.train(0)
    items = [segments[0, index] for index in range(len(segments))]
    assert len(items) == 40
    assert [item.clean is None for item in items] == [False] * 30 + [True] * 10
    assert {len(item.noisy) for item in items} == {8000}
    assert np.array_equal(items[35].noisy, segments[0, 35].noisy)
    assert not np.array_equal(items[35].noisy, segments[1, 35].noisy)
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match="share"):
            PartlyLabelled(Synthetic(), str(recordings), share)
    assert source.labels == "some"
    assert PartlyLabelled(data.create("pairs", noisy=str(recordings)), str(recordings), 0.5).labels == "none"


@pytest.mark.parametrize("mixed", [True, False])
def test_noisy_recordings_alone_or_beside_labelled_data_train_a_student(
    tmp_path: Path, recordings: Path, mixed: bool
) -> None:
    values = recipe(tmp_path, stages=[])
    if mixed:
        values["unlabelled"] = {"noisy": str(recordings), "share": 0.5}
    else:
        values |= {"data": {"name": "pairs", "noisy": str(recordings), "segment_s": 0.5}, "loss": {}}
    outcome = recipes.train(values, out=tmp_path / "run")
    assert outcome.valid  # against the teacher's estimate where there is no reference
    assert all(math.isfinite(record["total"]) for record in read_log(tmp_path / "run") if "total" in record)


def test_a_loss_on_recordings_without_references_is_refused_before_training(tmp_path: Path, recordings: Path) -> None:
    values = recipe(tmp_path, stages=[], data={"name": "pairs", "noisy": str(recordings), "segment_s": 0.5})
    with pytest.raises(InputError, match="loss/weighted: needs clean speech"):
        recipes.train(values, out=tmp_path / "run")
    assert not (tmp_path / "run" / "state.pt").exists()


def test_a_first_batch_of_noise_alone_passes_the_checks() -> None:
    """Losses that cannot compare with silence are 0 there, which is no fault of theirs."""
    student, _ = pair()
    batch = batch_of(seconds=1.0)
    losses = {name: LOSSES[name]() for name in LOSSES}
    silence = Batch(batch.noisy, torch.zeros_like(batch.noisy), batch.lengths, batch.ids)
    terms = check(Objective(losses, {}, student), student, silence)
    assert terms["loss/perceptual"] == terms["loss/si_sdr"] == 0
    assert all(term > 0 for name, term in terms.items() if name not in ("loss/perceptual", "loss/si_sdr"))


def test_every_loss_can_be_balanced_against_every_method() -> None:
    student, teacher = pair()
    for name in LOSSES:
        objective = Objective(
            {name: LOSSES[name]()}, {"output": METHODS["output"]()}, student, teacher, {"kd/output": Balance(1.0)}
        )
        total, _ = objective(student, batch_of(seconds=1.0))
        assert torch.isfinite(total)
