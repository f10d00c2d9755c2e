"""Balanced weights: gradients of the wanted ratio, wherever both terms reach, however they drift."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from helpers.recipes import batch_of, objective_of, pair
from sordino.distill.methods import METHODS
from sordino.errors import InputError
from sordino.losses import L1, LOSSES
from sordino.training import Balance, Objective, Ramp, Weight
from sordino.types import Batch, Terms


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


def test_every_loss_can_be_balanced_against_every_method() -> None:
    student, teacher = pair()
    for name in LOSSES:
        objective = Objective(
            {name: LOSSES[name]()}, {"output": METHODS["output"]()}, student, teacher, {"kd/output": Balance(1.0)}
        )
        total, _ = objective(student, batch_of(seconds=1.0))
        assert torch.isfinite(total)


def test_a_ramp_from_0_to_0_is_a_weight_of_0() -> None:
    with pytest.raises(InputError, match="nothing to minimise"):
        objective_of(weights={"kd/output": Ramp("linear", 5, 0, 0), "loss/l1": 0.0})
    _, objective = objective_of(weights={"kd/output": Ramp("linear", 5, 0, 0), "loss/l1": 1.0})
    assert list(objective.weighting.active) == ["loss/l1"]
