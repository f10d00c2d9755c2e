"""Settings of training that must do what they say: clipping, precision, the average, what is validated and kept."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers.ranks import begin, finish
from helpers.recipes import recipe
from sordino import distributed
from sordino.experiments.build import build_trainer
from sordino.experiments.recipe import read
from sordino.training import Settings
from sordino.training.collectives import follow_first
from sordino.training.fabric import open_fabric
from sordino.training.optimizer import Stepper
from sordino.training.pulls import Gauge
from sordino.training.validation import choose
from sordino.types import Item

PLAIN = {"distill": {}, "stages": []}


@pytest.mark.parametrize(("clip", "moved"), [(1.0, 1.0), (None, 10.0), (20.0, 10.0)])
def test_gradients_are_clipped_to_their_norm(clip: float | None, moved: float) -> None:
    fabric = open_fabric(Settings(accelerator="cpu", threads=1), unused=False)
    network = nn.Linear(4, 1, bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    network, optimizer = fabric.setup(network, optimizer)
    before = network.weight.detach().clone()
    fabric.backward(10 * network.weight[0, 0])
    assert Stepper(fabric, clip).step(network, optimizer)
    assert (network.weight - before).norm().item() == pytest.approx(moved, rel=1e-4)


class ScaledFabric:
    """A fabric of 16-mixed: its strategy has a scaler with a state."""

    strategy = SimpleNamespace(precision=SimpleNamespace(state_dict=lambda: {"scale": 2.0**16}))


@pytest.mark.parametrize(("fabric", "asked"), [(ScaledFabric(), 1), (None, 0)])
def test_a_gradient_that_overflows_lets_the_scaler_lower_its_scale(fabric: Any, asked: int) -> None:
    fabric = fabric or open_fabric(Settings(accelerator="cpu", threads=1), unused=False)
    network, steps = nn.Linear(1, 1), []
    for one in network.parameters():
        one.grad = torch.full_like(one, math.inf)
    stepper = Stepper(fabric, None)
    assert not stepper.step(network, SimpleNamespace(step=lambda: steps.append(1)))
    assert len(steps) == asked, "the scaler skips the step by itself"
    assert (stepper.skipped, stepper.skipped_in_a_row) == (1, 1)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_student_runs_in_the_precision_that_was_asked_for(tmp_path: Path, precision: str) -> None:
    values = recipe(tmp_path, **PLAIN)
    values["train"] |= {"steps": 1, "precision": precision}
    trainer, found = build_trainer(read(values), tmp_path / "run"), set()

    def look(student: nn.Module, _inputs: Any) -> None:
        if student.training:
            enabled = torch.is_autocast_enabled("cpu")
            found.add(torch.get_autocast_dtype("cpu") if enabled else next(student.parameters()).dtype)

    trainer.student.register_forward_pre_hook(look)
    trainer.fit()
    assert (torch.bfloat16 in found) == (precision == "bf16-mixed"), "checks before the run are in single precision"


def test_a_step_that_was_not_taken_does_not_move_the_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take, calls = Stepper.step, []

    def skipping(self: Stepper, model: nn.Module, optimizer: Any) -> bool:
        calls.append(1)
        return take(self, model, optimizer) if len(calls) != 3 else False

    monkeypatch.setattr(Stepper, "step", skipping)
    values = recipe(tmp_path, **PLAIN)
    values["train"] |= {"steps": 6, "ema": 0.9}
    trainer = build_trainer(read(values), tmp_path / "run")
    trainer.fit()
    assert trainer.updater.average is not None
    assert (len(calls), int(trainer.updater.average.n_averaged)) == (6, 5)


def differing(rank: int) -> None:
    """Statistics of norms are those of the first process, in all of them."""
    open_fabric(Settings(accelerator="cpu", threads=1), unused=False)
    norm = nn.BatchNorm1d(2)
    assert norm.running_mean is not None
    norm.running_mean.fill_(rank + 1.0)
    follow_first(norm)
    assert distributed.world_size() == 2
    assert norm.running_mean.tolist() == [1.0, 1.0]


def test_all_processes_follow_the_first_ones_statistics() -> None:
    finish(begin(differing))


def test_validation_chooses_evenly_from_the_first_to_the_last() -> None:
    items = [Item(np.zeros(1, np.float32), None, 1, str(number), "") for number in range(9)]
    assert [item.id for item in choose(items, 3)] == ["0", "4", "8"]
    assert [item.id for item in choose(items, None)] == [item.id for item in items]
    assert len(choose(items, 20)) == 9


def test_ratios_are_smoothed_on_a_logarithmic_scale() -> None:
    gauge, weight = Gauge(["kd/one"]), nn.Parameter(torch.ones(1))
    for step, ratio in enumerate((2.0, 8.0)):
        gauge.measure({"kd/one": ratio * weight.sum()}, weight.sum(), [weight], step)
    smooth, last = gauge.logs[:, 0].exp().tolist()
    assert smooth == pytest.approx(math.sqrt(2.0 * 8.0))
    assert last == pytest.approx(8.0)


def test_of_equal_checkpoints_the_earlier_one_is_kept(tmp_path: Path) -> None:
    judge = build_trainer(read(recipe(tmp_path, **PLAIN)), tmp_path).validation.judge
    for step, score in ((1, 2.0), (2, 2.0), (3, 1.0)):
        judge.keep(step, {"score": score})
        assert judge.best is not None
        assert judge.best.step == 1
    judge.keep(4, {"score": 2.5})
    assert judge.best.step == 4
