"""Which way up a run begins: a network that random weights have put upside down is turned over, and nothing else is."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.networks import SMALL
from helpers.noise import noise
from helpers.recipes import SOUND, recipe, settings
from sordino import models
from sordino.audio import sound_files
from sordino.data.sources import Synthetic
from sordino.experiments.build import build_trainer
from sordino.experiments.recipe import read
from sordino.metrics import correlation
from sordino.models import MODELS, Enhancer
from sordino.training import Trainer, read_log
from sordino.training.average import average_of
from sordino.training.log import Log
from sordino.training.polarity import fix_polarity, negate, target_correlation

UPRIGHT_AND_NOT = {
    "manner-b": (0, 4),
    "manner-s": (0, 1),
    "manner-l": (0, 4),
    "demucs": (0, 3),
    "tstnn": (1, 0),
    "unet": (0, 2),
    "dualpath": (0,),  # the mask of a fresh one is about one, whatever the seed
}
"""A seed of each network that begins upright, and one that begins upside down."""


def born(name: str, seed: int) -> Enhancer:
    torch.manual_seed(seed)
    return models.create(name, **SMALL.get(name, {}))


def begins_upright(name: str, seed: int) -> bool:
    """Check that a network is turned over if its estimates are upside down, and not otherwise; whether it was."""
    network, noisy = born(name, seed), noise(2, 4000)
    # Of a batch in training mode, so that the statistics are those of the first step.
    before = copy.deepcopy(network)(noisy)
    statistics = {key: value.clone() for key, value in network.named_buffers()}
    fix_polarity(network, [noisy])
    assert all(torch.equal(value, statistics[key]) for key, value in network.named_buffers())
    after = copy.deepcopy(network)(noisy)
    assert (after * noisy).sum() > 0
    upside_down = bool((before * noisy).sum() < 0)
    torch.testing.assert_close(after, -before if upside_down else before)
    return upside_down


@pytest.mark.parametrize("name", MODELS)
def test_every_run_begins_upright(name: str) -> None:
    turned = [begins_upright(name, seed) for seed in UPRIGHT_AND_NOT[name]]
    assert turned == [False, True][: len(turned)], "the seeds no longer show both cases"


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_run_begins_upright_whatever_its_seed(name: str) -> None:
    turned = sum(begins_upright(name, seed) for seed in range(8))
    assert turned == 0 if name == "dualpath" else 0 < turned < 8, "the seeds no longer show both cases"


def test_a_network_without_a_last_layer_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = born("manner-s", 0)
    monkeypatch.setattr(network, "last", None)
    weights = copy.deepcopy(network.state_dict())
    for wave in (noise(2, 4000), -noise(2, 4000)):
        assert not fix_polarity(network, [wave])
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def test_several_batches_decide_together() -> None:
    network = born("unet", 0)
    fix_polarity(network, [noise(2, 4000)])
    twin = copy.deepcopy(network)
    upright, against = noise(2, 4000, seed=1), noise(2, 4000, seed=2)
    network.forward = lambda noisy: noisy if torch.equal(noisy, upright) else -0.5 * noisy  # pyright: ignore
    twin.load_state_dict(network.state_dict())
    assert not fix_polarity(network, [against, upright, upright])
    assert fix_polarity(network, [against, upright, against])
    assert torch.equal(last_of(network), -last_of(twin))


def last_of(network: Enhancer) -> torch.Tensor:
    assert network.last is not None
    return next(iter(network.get_submodule(network.last).parameters())).detach().clone()


def test_a_network_that_is_turned_over_goes_on_as_its_mirror_image() -> None:
    """With a loss that is blind to the sign, weights, moments and average stay the negative of those left alone."""
    noisy, clean = noise(2, 4000), noise(2, 4000, seed=1)
    networks = [born("unet", 0).train(), born("unet", 0).train()]
    optimizers = [torch.optim.AdamW(one.parameters(), lr=1e-3) for one in networks]
    averages = [average_of(one, 0.5) for one in networks]
    for step in range(6):
        for which, (network, optimizer, average) in enumerate(zip(networks, optimizers, averages, strict=True)):
            optimizer.zero_grad()
            (torch.fft.rfft(network(noisy)).abs() - torch.fft.rfft(clean).abs()).abs().mean().backward()
            optimizer.step()
            average.update_parameters(network)
            if step == 2 and which:
                negate(network, optimizer, average.module)  # pyright: ignore[reportArgumentType]
    for one, other in ((networks[0], networks[1]), (averages[0].module, averages[1].module)):
        weights = other.state_dict()
        for name, value in one.state_dict().items():
            sign = -1 if name.startswith(f"{networks[0].last}.") else 1
            torch.testing.assert_close(sign * weights[name], value, rtol=1e-4, atol=1e-6, msg=name)


def upside_down(tmp_path: Path, **train: object) -> tuple[Trainer, list[str]]:
    """A trainer whose network has been turned the wrong way after its polarity was fixed."""
    values = recipe(tmp_path, stages=[], distill={})
    del values["teacher"]
    values["train"] |= {"steps": 4, "ema": 0.9, "max_lr": 1e-5, "validate_every": 1, "validate_items": 2, **train}
    trainer = build_trainer(read(values), tmp_path / "run")
    assert trainer.updater.average is not None
    negate(trainer.student, trainer.updater.optimizer, trainer.updater.average.module)  # pyright: ignore[reportArgumentType]
    return trainer, []


@pytest.mark.parametrize("seen_by", ["a validation", "a batch"])
def test_a_run_turns_its_network_over_early_and_says_so(tmp_path: Path, seen_by: str) -> None:
    trainer, lines = upside_down(tmp_path, **({} if seen_by == "a validation" else {"validate_every": 4}))
    if seen_by == "a validation":
        trainer.watch.steps = set()
    outcome = trainer.fit(status=lines.append)
    log = read_log(tmp_path / "run")
    assert [line["step"] for line in log if "negated" in line] == [1]
    assert all(line["valid/correlation"] > 0.1 for line in log if "valid/correlation" in line)
    assert outcome.valid["correlation"] > 0.1
    (line,) = lines
    assert "step 1: the estimate correlates by -0." in line
    assert line.endswith("its last layer was negated")


def test_later_it_is_reported_and_logged_and_left(tmp_path: Path) -> None:
    trainer, lines = upside_down(tmp_path, validate_every=2)
    trainer.watch.steps, trainer.watch.early = set(), 1
    trainer.fit(status=lines.append)
    log = read_log(tmp_path / "run")
    assert [line["step"] for line in log if "inverted" in line] == [2, 4]
    assert not any("negated" in line for line in log)
    assert all("too late to negate the network" in line for line in lines)
    assert len(lines) == 2


def test_a_student_without_references_is_held_against_its_teacher(tmp_path: Path) -> None:
    folder = tmp_path / "noisy"
    for index in range(3):
        sound_files.write(folder / f"{index}.wav", noise(1, 16000, seed=index).numpy(), 16000)
    values = recipe(tmp_path, stages=[], loss={}, data={"name": "pairs", "noisy": str(folder), "segment_s": 0.5})
    trainer = build_trainer(read(values), tmp_path / "run")
    batch, teacher = trainer.first_batch(), trainer.objective.teacher
    assert teacher is not None
    upright = target_correlation(trainer.student, batch, teacher)
    assert upright is not None
    negate(trainer.student, trainer.updater.optimizer)
    assert target_correlation(trainer.student, batch, teacher) == pytest.approx(-upright)
    assert target_correlation(trainer.student, batch, None) is None


MANNER_S_6 = {"name": "manner-s", "hidden": 6, "depth": 3}
SHORT_RUNS = (("demo/student", {}, 20), ("valentini/manner-s-1.5gf", MANNER_S_6, 32))
LONGER_RUN = ("valentini/manner-s-1.5gf", {}, 20)
"""The network of the paper at its size, among the slow tests alone: its width aside it is the one before."""


def ends_upright(folder: Path, name: str, model: dict[str, Any], steps: int, seed: int) -> None:
    """Train on batches of 2 x 0.5 s, by the recipe's loss; then look at held-out speech in eval mode."""
    values = read(name, layers=[{"model": model}]).to_mapping()
    short = {
        "data": SOUND,
        "model": values["model"],
        "loss": values.get("loss", {"weighted": {}}),
        "train": settings(steps, max_lr=3e-3, seed=seed),
    }
    trainer = build_trainer(read(short), folder / str(seed))
    trainer.judge.items = []  # nothing is chosen here, and PESQ would take longer than the steps
    trainer.fit()
    trainer.student.eval()
    with torch.no_grad():
        for item in Synthetic(valid_items=2).valid():
            assert item.clean is not None
            estimate = trainer.student(torch.from_numpy(item.noisy)[None])[0].numpy()
            assert correlation(item.clean, estimate) > 0, f"seed {seed}"


@pytest.mark.parametrize(("name", "model", "steps"), SHORT_RUNS)
def test_after_a_little_training_a_network_is_upright(
    tmp_path: Path, name: str, model: dict[str, Any], steps: int
) -> None:
    """Looked at before the first step alone, seed 3 of MANNER-S with 6 channels ends upside down."""
    ends_upright(tmp_path, name, model, steps, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "model", "steps"), [*SHORT_RUNS, LONGER_RUN])
def test_after_a_little_training_every_seed_is_upright(
    tmp_path: Path, name: str, model: dict[str, Any], steps: int
) -> None:
    for seed in range(8):
        ends_upright(tmp_path, name, model, steps, seed)


def test_of_a_network_without_a_last_layer_the_reason_is_another(tmp_path: Path) -> None:
    trainer, lines = upside_down(tmp_path)
    trainer.student.last = None
    trainer.watch.status = lines.append
    with Log(tmp_path) as log:
        assert not trainer.watch.fix(-0.3, 1, None, log)
    assert "the network names no last layer" in lines[0]


def test_early_counts_from_the_stage_that_trains_the_estimate(tmp_path: Path) -> None:
    values = recipe(tmp_path, distill={"fitnets": {}}, stages=[{"share": 0.5, "weights": {"loss/l1": 0}}, {}])
    values["loss"] = {"l1": {}}
    values["train"] |= {"steps": 2000}
    for changes, begin in (({}, 1000), ({"distill": {"output": {}}}, 0)):
        watch = build_trainer(read(values | changes), tmp_path / "run").watch
        assert watch.early == begin + 0.2 * (2000 - begin)
        assert {begin + step for step in (10, 20, 40, 80)} < watch.steps
        assert min(watch.steps) > begin
