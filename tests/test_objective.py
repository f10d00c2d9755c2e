"""Weights, stages and partial labels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers.recipes import batch_of, objective_of, pair, recipe
from helpers.runs import interrupt_at, same_weights, timeless
from sordino import models
from sordino.audio import sound_files
from sordino.data import sources
from sordino.data.sources import SemiSupervised, Synthetic
from sordino.distill.methods import METHODS
from sordino.distill.teachers import Teacher
from sordino.errors import InputError
from sordino.experiments import run as recipes
from sordino.experiments.recipe import read
from sordino.losses import L1, LOSSES
from sordino.training import Balance, Objective, Ramp, Stage, Weight, read_log
from sordino.training.checks import check
from sordino.training.log import RunningMeans
from sordino.training.stages import optimizer_range, stage_index, stage_ranges
from sordino.types import Batch, Terms

# Weights


def test_ramps_go_from_start_to_end_and_stay() -> None:
    linear, cosine = Ramp("linear", 10, 1.0, 3.0), Ramp("cosine", 10)
    assert [linear.at(step) for step in (0, 5, 10, 99)] == [1.0, 2.0, 3.0, 3.0]
    assert [cosine.at(step) for step in (0, 5, 10)] == pytest.approx([0, 0.5, 1])
    assert cosine.at(2) == pytest.approx((1 - math.cos(math.pi / 5)) / 2)


def lengths(student: nn.Module, terms: Terms) -> dict[str, float]:
    """The length of each term's gradient, at the parameters that all of them reach."""
    parameters = list(student.parameters())
    found = {
        name: torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=True)
        for name, term in terms.items()
    }
    reached = [all(gradients[i] is not None for gradients in found.values()) for i in range(len(parameters))]
    assert any(reached)
    return {
        name: math.sqrt(sum(g.square().sum().item() for g, both in zip(gradients, reached, strict=True) if both))
        for name, gradients in found.items()
    }


def test_balance_makes_gradients_of_the_wanted_ratio() -> None:
    student, objective = objective_of(weights={"kd/output": Balance(0.5), "loss/l1": 3.0})
    batch = batch_of()
    total, terms = objective(student, batch)
    weight = objective.weighting.at(0)["kd/output"]
    found = lengths(student, terms)
    assert weight * found["kd/output"] == pytest.approx(0.5 * 3 * found["loss/l1"], rel=1e-4)
    assert total.item() == pytest.approx(weight * terms["kd/output"].item() + 3 * terms["loss/l1"].item())
    assert objective.weighting.moving(0) == {"weight/kd/output": weight}
    assert objective.weighting.pulls(0) == {"pull/kd/output": pytest.approx(0.5)}


def test_gradients_are_compared_where_both_terms_reach() -> None:
    """A loss on the encoder's features says nothing to the decoder, whose gradient must not count for the loss."""
    student, teacher = pair()
    weights: dict[str, Weight] = {"kd/at": Balance(0.5)}
    methods = {"at": METHODS["at"](), "cosine": METHODS["cosine"]()}
    objective, batch = Objective({"l1": L1()}, methods, student, teacher, weights | {"kd/cosine": 0.1}), batch_of()
    objective.prepare(student, batch)
    _, terms = objective(student, batch)
    assert all(one.grad is None for one in student.parameters())
    for name, target in (("at", 0.5), ("cosine", None)):
        two = {key: terms[key] for key in ("loss/l1", f"kd/{name}")}
        found = lengths(student, two)
        ratio = objective.weighting.at(0)[f"kd/{name}"] * found[f"kd/{name}"] / found["loss/l1"]
        assert objective.weighting.pulls(0)[f"pull/kd/{name}"] == pytest.approx(ratio, rel=1e-4)
        assert target is None or ratio == pytest.approx(target, rel=1e-4)
    # The latent's loss does not reach the decoder; over all parameters the loss would look longer than it is there.
    whole = torch.autograd.grad(objective(student, batch)[1]["loss/l1"], list(student.parameters()))
    assert math.sqrt(sum(g.square().sum().item() for g in whole)) > 1.05 * found["loss/l1"]


def drifting(objective: Objective, steps: int, measured: int | None = None) -> list[float]:
    """The true ratio of gradients at every step, while the term's gradient grows by e^3, a factor of 20, with noise.

    The objective measures in the first ``measured`` steps, or in all.
    """
    one = nn.Parameter(torch.ones(3))
    random, ratios = torch.Generator().manual_seed(0), []
    for step in range(steps):
        scale = math.exp(3 * step / steps) * torch.empty(()).log_normal_(0, 0.1, generator=random)
        terms = {"loss/l1": 2 * one.sum(), "kd/output": 0.01 * scale * one.sum()}
        if measured is None or step < measured:
            objective.weighting.measure(terms, [one], step)
        ratios.append(objective.weighting.at(step)["kd/output"] * 0.01 * scale.item() / 2)
    return ratios


def test_balance_follows_a_gradient_that_drifts() -> None:
    weights: dict[str, Weight] = {"kd/output": Balance(0.5)}
    followed = drifting(objective_of(weights=weights)[1], 400)
    assert all(0.2 < ratio < 1.0 for ratio in followed)
    # Measured every 25 steps and smoothed, the weight is some 40 steps late, in which this gradient grows by a third.
    assert sum(followed) / len(followed) == pytest.approx(0.5, rel=0.4)
    # A gradient that grows as much in five times as many steps is followed closely.
    slowly = drifting(objective_of(weights=weights)[1], 2000)
    assert sum(slowly) / len(slowly) == pytest.approx(0.5, rel=0.1)
    # The weight of the first step, kept, lets the pull grow with the gradient.
    assert drifting(objective_of(weights=weights)[1], 400, measured=1)[-1] > 5


def test_what_does_not_compare_two_gradients_does_not_count_for_balance() -> None:
    student, objective = objective_of(weights={"kd/output": Balance(0.5)})
    batch = batch_of()
    objective(student, Batch(batch.noisy, None, batch.lengths, batch.ids))
    assert objective.weighting.at(0)["kd/output"] == 0
    assert objective.weighting.pulls(0) == {}
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


def test_a_ratio_against_another_supervised_loss_is_measured_anew() -> None:
    stages: list[dict[str, Weight]] = [{}, {"kd/output": Balance(0.5)}, {"loss/l1": 0.01}, {"loss/l1": 0.0}]
    student, objective = objective_of(
        weights={"kd/output": Balance(0.5)}, stages=[*stages[:3], {**stages[3], "kd/output": 1.0}]
    )
    batch, weighting, starts = batch_of(), objective.weighting, [0, 10, 20, 30]
    weighting.enter(0, starts)
    objective(student, batch, 9)
    weight = weighting.at(9)["kd/output"]
    weighting.enter(1, starts)  # the same loss with the same weight: the ratio still counts
    assert weighting.at(10)["kd/output"] == weight
    weighting.enter(2, starts)
    assert weighting.at(20)["kd/output"] == 0
    objective(student, batch, 20)
    assert weighting.at(20)["kd/output"] == pytest.approx(0.01 * weight, rel=1e-4)
    assert weighting.pulls(20) == {"pull/kd/output": pytest.approx(0.5)}
    weighting.enter(3, starts)  # no loss any more
    assert weighting.pulls(30) == {}


def test_terms_without_a_reference_are_no_part_of_the_logged_means() -> None:
    student, objective = objective_of()
    batch = batch_of()
    assert objective.meaningful(["loss/l1", "kd/output"], batch) == ["loss/l1", "kd/output"]
    without = Batch(batch.noisy, torch.zeros_like(batch.noisy), batch.lengths, batch.ids, torch.tensor([False, False]))
    _, terms = objective(student, without)
    assert terms["loss/l1"] == 0
    assert objective.meaningful(terms, without) == ["kd/output"]
    running = RunningMeans()
    running.add({"loss/l1": 1.0, "total": 3.0})
    running.add({"total": 5.0})
    assert RunningMeans(running.sums, running.counts).take() == {"loss/l1": 1.0, "total": 4.0}
    assert running.take() == {"loss/l1": 1.0, "total": 4.0}
    assert running.take() == {}


def test_a_method_without_a_loss_beside_it_has_no_pull() -> None:
    student, objective = objective_of(weights={"loss/l1": 0.0})
    objective(student, batch_of())
    assert objective.weighting.pulls(0) == {}


def test_ratios_are_measured_often_at_first_and_every_so_often_later() -> None:
    student, objective = objective_of(weights={"kd/output": Balance(0.5, every=3)})
    batch, measured = batch_of(), []
    for step in range(14):
        before = objective.weighting.gauge.counts.item()
        objective(student, batch, step)
        if objective.weighting.gauge.counts.item() > before:
            measured.append(step)
    assert measured == [0, 1, 3, 6, 9, 12]


def test_a_balanced_weight_stays_from_the_step_that_it_is_given() -> None:
    student, objective = objective_of(weights={"kd/output": Balance(0.5, every=1, until=3)})
    batch, weights, pulls = batch_of(), [], []
    for step in range(6):
        with torch.no_grad():  # a student that changes, and with it the ratio
            for parameter in student.parameters():
                parameter.mul_(1.2)
        objective(student, batch, step)
        weights.append(objective.weighting.at(step)["kd/output"])
        pulls.append(objective.weighting.pulls(step)["pull/kd/output"])
    assert len(set(weights[:3])) == 3
    assert weights[3:] == [weights[2]] * 3
    assert len(set(pulls[2:])) == 4, "it is still measured, for the log"


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
def test_weights_that_make_no_sense_are_reported(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective_of(**options)


def test_recipes_carry_weights_and_stages(tmp_path: Path) -> None:
    checked = read(recipe(tmp_path) | {"weights": {"loss/weighted": {"ramp": "cosine", "steps": 7}}})
    assert checked.weights == {"loss/weighted": Ramp("cosine", 7)}
    assert checked.stages == (Stage(0.5, weights={"loss/weighted": 0.0}), Stage(weights={"kd/output": 0.0}, reset=True))
    assert checked.to_mapping()["weights"] == {"loss/weighted": {"ramp": "cosine", "steps": 7}}
    for wrong, message in (
        ({"weights": {"loss/weighted": {"balnce": 1.0}}}, "weights.loss/weighted.balnce: no such key"),
        ({"weights": {"loss/weighted": {"balance": "much"}}}, "is no float"),
        (
            {"weights": {"loss/weighted": {"balance": -1}}},
            "weights.loss/weighted: balance -1.0 every 25 steps;",
        ),
        ({"stages": [{"weights": 3}]}, "stages.0.weights: 3 is no section"),
        ({"stages": {"share": 1}}, "is no list of sections"),
        ({"stages": [{"shre": 0.5}]}, "did you mean share?"),
        ({"stages": [{"weights": {"loss/weighted": "x"}}]}, "stages.0.weights.loss/weighted: 'x' is no float"),
    ):
        with pytest.raises(InputError, match="recipe") as caught:
            read(recipe(tmp_path) | wrong)
        assert message in str(caught.value)


# Stages


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


# Labels


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for index, item in enumerate(sources.create("synthetic", valid_items=3).valid()):
        sound_files.write(folder / f"{index}.wav", item.noisy[None], 16000)
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
    source = SemiSupervised(Synthetic(segment_s=0.5, epoch_size=30), str(recordings), 0.25)
    segments = source.train(0)
    items = [segments[0, index] for index in range(len(segments))]
    assert len(items) == 40
    assert [item.clean is None for item in items] == [False] * 30 + [True] * 10
    assert {len(item.noisy) for item in items} == {8000}
    assert np.array_equal(items[35].noisy, segments[0, 35].noisy)
    assert not np.array_equal(items[35].noisy, segments[1, 35].noisy)
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match="share"):
            SemiSupervised(Synthetic(), str(recordings), share)
    assert source.labels == "some"
    assert SemiSupervised(sources.create("pairs", noisy=str(recordings)), str(recordings), 0.5).labels == "none"


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
    without_scale = {"loss/perceptual", "loss/si_sdr", "loss/stoi", "loss/llr"}
    assert {name for name, term in terms.items() if term == 0} == without_scale
    assert all(term > 0 for name, term in terms.items() if name not in without_scale)


def test_what_goes_to_a_gpu_has_no_double_precision() -> None:
    """Apple's GPUs have none, and refuse a module with such a buffer."""
    student, large = (models.create("manner-s", hidden=2, depth=depth) for depth in (3, 4))
    for name in METHODS:
        objective = Objective({"l1": L1()}, {name: METHODS[name]()}, student, Teacher(large))
        state = [*objective.buffers(), *objective.parameters(), *student.buffers()]
        assert all(one.dtype != torch.float64 for one in state), name


def test_every_loss_can_be_balanced_against_every_method() -> None:
    student, teacher = pair()
    for name in LOSSES:
        objective = Objective(
            {name: LOSSES[name]()}, {"output": METHODS["output"]()}, student, teacher, {"kd/output": Balance(1.0)}
        )
        total, _ = objective(student, batch_of(seconds=1.0))
        assert torch.isfinite(total)
