"""The optimiser, its learning rates, the average of the weights, and the steps that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sordino
from helpers.networks import SMALL
from helpers.recipes import recipe
from sordino import models
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.build import build_trainer
from sordino.experiments.recipe import read
from sordino.models import MODELS
from sordino.training import Settings, read_log
from sordino.training.average import average_of
from sordino.training.divergence import Diverged
from sordino.training.objective import Objective
from sordino.training.optimizer import MAX_SKIPPED, optimizer_of
from sordino.training.schedule import schedule
from sordino.training.updater import Updater
from sordino.types import Batch

PLAIN = {"distill": {}, "stages": []}


@pytest.mark.parametrize("name", MODELS)
def test_weights_decay_and_biases_norms_and_slopes_do_not(name: str) -> None:
    network = models.create(name, **SMALL.get(name, {}))
    spared = {
        id(parameter)
        for module in network.modules()
        for key, parameter in module.named_parameters(recurse=False)
        if "bias" in key or isinstance(module, (nn.PReLU, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm))
    }
    optimizer = optimizer_of([network], Settings(optimizer="adamw", weight_decay=0.3))
    decay = {id(one): group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    assert decay == {id(one): 0.0 if id(one) in spared else 0.3 for one in network.parameters()}
    assert isinstance(optimizer_of([network], Settings()), torch.optim.Adam)
    with pytest.raises(InputError, match=r"train\.weight_decay: adam does not decay weights"):
        Settings(weight_decay=0.1)


def test_the_average_warms_up_and_takes_in_the_statistics_of_norms() -> None:
    linear = nn.Linear(1, 1, bias=False)
    network = nn.Sequential(linear, nn.BatchNorm1d(1))
    average = average_of(network, decay=0.3)
    expected: dict[str, torch.Tensor] = {}
    for step in range(6):
        with torch.no_grad():
            linear.weight.fill_(float(step**2))
        network(torch.full((4, 1), 2.0) + torch.arange(4.0)[:, None])
        average.update_parameters(network)
        decay = min(0.3, (1 + step) / (10 + step))
        now = {name: value.clone() for name, value in network.state_dict().items()}
        expected = {
            name: value if name.endswith("tracked") or not step else decay * expected[name] + (1 - decay) * value
            for name, value in now.items()
        }
    found = average.module.state_dict()
    assert found["1.num_batches_tracked"] == 6
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)
    assert not average.module.training
    assert not any(one.requires_grad for one in average.parameters())


def test_the_average_is_what_ships(tmp_path: Path) -> None:
    values = recipe(tmp_path, **PLAIN)
    values["train"] |= {"ema": 0.9, "max_lr": 0.05}
    trainer = build_trainer(read(values), tmp_path / "run")
    assert trainer.updater.average is not None
    outcome = trainer.fit()
    last = sordino.load(tmp_path / "run" / "last.safetensors").state_dict()
    best = sordino.load(outcome.checkpoint).state_dict()
    trained, averaged = trainer.student.state_dict(), trainer.updater.average.module.state_dict()
    assert all(torch.equal(last[name], averaged[name]) and torch.equal(best[name], averaged[name]) for name in averaged)
    assert not all(torch.equal(last[name], trained[name]) for name in trained)


def test_a_gradient_that_is_not_finite_is_passed_over_and_many_in_a_row_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minimise = Objective.forward
    broken = {3}

    class Kink(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, value: torch.Tensor) -> torch.Tensor:
            return value.clone()

        @staticmethod
        def backward(ctx: object, *gradients: torch.Tensor) -> torch.Tensor:
            return gradients[0] * float("nan")

    def kinked(self: Objective, student: nn.Module, batch: Batch, step: int = 0) -> tuple[torch.Tensor, dict]:
        total, terms = minimise(self, student, batch, step)
        return (Kink.apply(total) if step in broken else total), terms  # pyright: ignore[reportReturnType]

    monkeypatch.setattr(Objective, "forward", kinked)
    values = recipe(tmp_path, **PLAIN)
    values["train"] |= {"schedule": "constant", "ema": 0.9, "validate_every": 100}
    outcome = run.train(values, out=tmp_path / "run")
    assert outcome.steps == 6
    assert [(line["step"], line["skipped"]) for line in read_log(tmp_path / "run") if "skipped" in line] == [(4, 1)]
    weights = sordino.load(outcome.checkpoint).state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())

    broken |= set(range(100))
    values["train"] |= {"steps": 2 * MAX_SKIPPED, "grad_clip": 1.0}
    with pytest.raises(InputError, match=f"not finite in {MAX_SKIPPED} steps in a row"):
        run.train(values, out=tmp_path / "ends")


def test_few_recordings_are_not_validated_every_few_steps() -> None:
    assert Settings(steps=2000).validation_steps(per_epoch=5) == 200
    assert Settings(steps=2000).validation_steps(per_epoch=700) == 700
    assert Settings(steps=10).validation_steps(per_epoch=1) == 1
    assert Settings(epochs=350).validation_steps(per_epoch=5) == 5
    assert Settings(steps=2000, validate_every=10).validation_steps(per_epoch=5) == 10


def rates(settings: Settings, steps: int) -> list[float]:
    """The learning rate of each step of a run."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=settings.max_lr)
    plan, found = schedule(optimizer, settings, steps), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plan.step()
    return found


def test_learning_rate_follows_its_schedule() -> None:
    one_cycle = rates(Settings(max_lr=2e-3), 100)
    assert one_cycle[0] == pytest.approx(2e-3 / 25)
    assert max(one_cycle) == pytest.approx(2e-3) == one_cycle[29]
    assert one_cycle[-1] < 1e-6
    assert rates(Settings(max_lr=3e-4, schedule="constant"), 20) == [3e-4] * 20
    warmed = rates(Settings(max_lr=3e-4, schedule="constant", warmup_steps=3), 5)
    assert warmed == pytest.approx([1e-4, 2e-4, 3e-4, 3e-4, 3e-4])
    cosine = rates(Settings(max_lr=1e-3, min_lr=1e-4, schedule="cosine", warmup_steps=10), 110)
    expected = {1: 1e-4, 10: 1e-3, 60: 5.5e-4, 85: 5.5e-4 - 4.5e-4 / 2**0.5, 110: 1e-4}
    assert {step: cosine[step - 1] for step in expected} == pytest.approx(expected)
    assert rates(Settings(schedule="cosine"), 100)[:5] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3])  # a twentieth
    transformer = rates(Settings(max_lr=4e-4, schedule="transformer", warmup_steps=40), 200)
    expected = {1: 1e-5, 2: 2e-5, 20: 2e-4, 39: 3.9e-4, 40: 4e-4, 41: 4e-4 * (40 / 41) ** 0.5, 160: 2e-4}
    assert {step: transformer[step - 1] for step in expected} == pytest.approx(expected)
    # With the peak at 1 / sqrt(d W) it is the rule as Vaswani et al. print it.
    width, warmup = 32, 40
    published = [width**-0.5 * min(step**-0.5, step * warmup**-1.5) for step in range(1, 201)]
    settings = Settings(max_lr=(width * warmup) ** -0.5, schedule="transformer", warmup_steps=warmup)
    assert rates(settings, 200) == pytest.approx(published)


def test_a_schedule_that_is_none_is_reported() -> None:
    with pytest.raises(InputError, match=r"train\.schedule: cosin; expected one_cycle, cosine, constant or tran"):
        rates(Settings(schedule="cosin"), 1)  # pyright: ignore[reportArgumentType]


def test_the_average_keeps_constants_that_are_infinite() -> None:
    network = models.create("unet", width=4, depth=2, groups=1)
    network.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    average = average_of(network, decay=0.9)
    for _ in range(3):
        average.update_parameters(network)
    assert torch.equal(average.module.state_dict()["mask"], torch.tensor([0.0, -torch.inf]))


def test_a_run_whose_last_update_ruins_the_network_has_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = recipe(tmp_path, **PLAIN)
    values["train"] |= {"steps": 1}

    def ruin(self: Updater, _model: nn.Module) -> None:
        next(self.student.parameters()).data.fill_(torch.inf)

    monkeypatch.setattr(Updater, "update", ruin)
    with pytest.raises(Diverged, match=r"train: the weight .* is not finite; expected finite weights"):
        run.train(values, out=tmp_path / "run")
    assert not (tmp_path / "run" / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_lr": 1e-4}, r"train\.min_lr: the schedule one_cycle does not read it"),
        ({"min_lr": 1e-4, "schedule": "constant"}, r"train\.min_lr: the schedule constant does not read it"),
        ({"warmup_steps": 10}, r"train\.warmup_steps: the schedule one_cycle has a warm-up of its own"),
        ({"optimizer": "adamw", "weight_decay": float("inf")}, r"train\.weight_decay: inf; expected 0 or more"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(**settings)
