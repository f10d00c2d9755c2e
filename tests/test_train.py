"""The one loop: its first losses are pinned, an interrupted run ends as an uninterrupted one, nothing leaks."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import sordino
from helpers.recipes import MANNER, SOUND, UNET, settings
from helpers.recipes import recipe as of_unets
from helpers.runs import interrupt_at, same_weights, timeless
from sordino import models
from sordino.data.base import Segments
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.build import build_trainer
from sordino.experiments.recipe import read
from sordino.training import read_log
from sordino.training.batches import FIRST
from sordino.training.state import load_state, same_data
from sordino.types import Batch, Item

# The first step of the run below, seed 0: what the networks, the losses, the methods and the data say together.
PINNED = {"loss/weighted": 1.996, "kd/mvat": 0.634, "kd/output": 0.108}


def recipe(**changes: Any) -> dict[str, Any]:
    """A tiny student on synthetic data, on one thread."""
    train = settings(4, log_every=2)
    values: dict[str, Any] = {"data": SOUND, "model": MANNER, "loss": {"weighted": {}}, "train": train}
    return {**values, **changes, "train": {**train, **changes.get("train", {})}}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved_teacher(tmp_path_factory.mktemp("teacher"), depth=2)


def saved_teacher(folder: Path, depth: int) -> str:
    torch.manual_seed(1)
    path = folder / "teacher.safetensors"
    models.save(models.create("manner-b", hidden=6, depth=depth), path)
    return str(path)


def distilled(teacher: str, **changes: Any) -> dict[str, Any]:
    return recipe(teacher={"checkpoint": teacher}, distill={"mvat": {}, "output": {}}, **changes)


def test_first_losses_are_pinned(tmp_path: Path) -> None:
    teacher, model = saved_teacher(tmp_path, depth=4), {"name": "manner-s", "hidden": 2, "depth": 3}
    train = {"steps": 1, "log_every": 1, "validate_every": 100}
    run.train(distilled(teacher, model=model, train=train), out=tmp_path / "run")
    first = read_log(tmp_path / "run")[0]
    assert {name: round(first[name], 3) for name in ("loss/weighted", "kd/mvat", "kd/output")} == PINNED
    assert first["total"] == pytest.approx(first["loss/weighted"] + first["kd/mvat"] + first["kd/output"], rel=1e-6)


def test_a_student_that_ships_goes_on_learning(tmp_path: Path) -> None:
    values = recipe(model={"checkpoint": "unet-24"}, loss={"compressed": {}}, train={"steps": 2})
    student = build_trainer(read(values), tmp_path / "none").student
    shipped = sordino.load("unet-24").state_dict()
    assert student.training
    torch.testing.assert_close(student.state_dict(), shipped, rtol=0, atol=0)
    outcome = run.train(values, out=tmp_path / "run")
    assert outcome.checkpoint.is_file()
    learnt = sordino.load(tmp_path / "run" / "last.safetensors")
    assert learnt.arguments == student.arguments
    assert any(not torch.equal(value, shipped[name]) for name, value in learnt.state_dict().items())


def test_every_batch_is_loaded_once(tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polarity, self-checks and first steps share the batches that a run begins with."""
    loaded: list[tuple[int, int]] = []
    load = Segments.__getitem__

    def watched(self: Segments, key: tuple[int, int]) -> Item:
        loaded.append(key)
        return load(self, key)

    monkeypatch.setattr(Segments, "__getitem__", watched)
    values = distilled(teacher, data={"name": "synthetic", "segment_s": 0.5, "epoch_size": 12}, train={"steps": 8})
    trainer = build_trainer(read(values), tmp_path / "run")
    assert sorted(loaded) == sorted(set(loaded))
    assert len(loaded) == 2 * FIRST
    trainer.fit()
    assert len(loaded) == 2 * 8  # an epoch of six batches, and two of the next
    assert len(set(loaded)) == len(loaded)


CRAFT = {
    "one_cycle": {"schedule": "one_cycle"},
    "constant": {"schedule": "constant", "warmup_steps": 4},
    "all at once": {
        "schedule": "cosine",
        "warmup_steps": 2,
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "grad_clip": 0.1,
        "ema": 0.9,
        "select": {"estoi": 1.0, "si_sdr_db": 0.1},
        "validate_every": 2,
    },
    "averaged in bf16": {
        "precision": "bf16-mixed",
        "ema": 0.5,
        "optimizer": "adamw",
        "select": "stoi",
        "schedule": "transformer",
        "warmup_steps": 2,
    },
}


@pytest.mark.parametrize("craft", CRAFT)
def test_resumed_run_equals_uninterrupted_one(tmp_path: Path, teacher: str, craft: str) -> None:
    if craft == "all at once":
        values = distilled(teacher, train={"steps": 6, **CRAFT[craft]})
    else:
        values = of_unets(tmp_path, stages=[], train=settings(6, log_every=2, **CRAFT[craft]))
    whole = run.train(values, out=tmp_path / "whole")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run.train(values, out=tmp_path / "cut", progress=interrupt_at(3))
    assert signal.getsignal(signal.SIGINT) is before
    assert load_state(tmp_path / "cut")["step"] == 3
    resumed = run.train(values, out=tmp_path / "cut", resume=True)

    assert (resumed.steps, resumed.best_step, resumed.valid) == (whole.steps, whole.best_step, whole.valid)
    for name in ("last.safetensors", "best.safetensors"):
        assert same_weights(tmp_path / "whole", tmp_path / "cut", name)
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "cut")


def test_loss_falls_and_best_checkpoint_describes_itself(tmp_path: Path) -> None:
    train = {"steps": 40, "batch_size": 4, "max_lr": 1e-2, "log_every": 20, "validate_every": 40}
    values = recipe(data={"name": "synthetic", "segment_s": 1.0}, model=UNET, train=train)
    outcome = run.train(values, out=tmp_path / "run")
    losses = [line["total"] for line in read_log(tmp_path / "run") if "total" in line]
    assert losses[-1] < 0.9 * losses[0]
    header = models.read_header(outcome.checkpoint)
    assert header["name"] == "unet"
    assert header["about"]["synthetic"] is True
    assert header["about"]["valid"] == outcome.valid
    assert outcome.valid["score"] == outcome.best_score
    assert read(header["about"]["recipe"]) == read(values)
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_precision_and_gradient_clip(tmp_path: Path, teacher: str, precision: str) -> None:
    changes = {"steps": 2, "precision": precision, "grad_clip": 1e-6, "validate_every": 100}
    outcome = run.train(distilled(teacher, train=changes), out=tmp_path / "run")
    assert outcome.steps == 2
    assert all(tensor.dtype != torch.bfloat16 for tensor in load_file(outcome.checkpoint).values())


@pytest.mark.parametrize("cache", [False, True])
def test_mixed_precision_leaves_the_sound_alone(tmp_path: Path, teacher: str, cache: bool) -> None:
    values = distilled(teacher, train={"steps": 2, "precision": "bf16-mixed", "validate_every": 100})
    if cache:
        values["teacher"] |= {"cache": str(tmp_path / "cache"), "draws": 1}
    trainer, kinds = build_trainer(read(values), tmp_path / "run"), set()

    def look(_objective: nn.Module, inputs: tuple[Any, ...]) -> None:
        (batch,) = [one for one in inputs if isinstance(one, Batch)]
        assert batch.clean is not None
        kinds.update({batch.noisy.dtype, batch.clean.dtype})

    trainer.objective.register_forward_pre_hook(look)
    assert trainer.fit().steps == 2
    assert kinds == {torch.float32}


def test_teacher_stays_as_it_was(tmp_path: Path, teacher: str) -> None:
    trainer = build_trainer(read(distilled(teacher)), tmp_path / "run")
    assert trainer.objective.teacher is not None
    network = trainer.objective.teacher.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainer.student.train()
    network.train()  # somebody's mistake
    trainer.fit()
    assert not network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    student = load_file(tmp_path / "run" / "last.safetensors")
    assert student.keys() == models.create(**MANNER).state_dict().keys()


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    values = recipe(model=UNET)
    run.train(values, out=tmp_path / "run")
    with pytest.raises(InputError, match="holds a run already"):
        run.train(values, out=tmp_path / "run")
    with pytest.raises(InputError, match=r"model\.width is 6, but the run began with 4"):
        run.train(values, ["model.width=6"], out=tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="no run to resume"):
        run.train(values, out=tmp_path / "other", resume=True)
    again = run.train(values, ["train.threads=2"], out=tmp_path / "run", resume=True)
    assert again.steps == 4
    state = load_state(tmp_path / "run")
    same_data(state, state["segments"])
    with pytest.raises(InputError, match=r"data: has \d+ segments, but the run began with \d+"):
        same_data(state, state["segments"] + 1)


def test_a_teacher_without_a_method_is_reported(tmp_path: Path, teacher: str) -> None:
    lines: list[str] = []
    values = recipe(train=settings(steps=1))
    run.train({**values, "teacher": {"checkpoint": teacher}}, out=tmp_path / "run", status=lines.append)
    assert "teacher: it teaches nothing, as the recipe has no section distill" in lines


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch_size", 0),
        ("steps", 0),
        ("log_every", 0),
        ("max_lr", -1.0),
        ("seed", -1),
        ("threads", 0),
        ("grad_clip", 0.0),
        ("warmup_steps", 0),
        ("weight_decay", -0.1),
        ("ema", 1.0),
        ("min_lr", -1e-5),
    ],
)
def test_settings_out_of_range_are_reported(key: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"train\.{key}: {value}"):
        run.train(recipe(train={key: value}))


def test_too_little_data_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fewer than one batch of 64"):
        run.train(recipe(data={"name": "synthetic", "epoch_size": 3}, train={"batch_size": 64}), out=tmp_path / "r")
    with pytest.raises(InputError, match=r"lengthen data\.segment_s"):
        run.train(recipe(data={"name": "synthetic", "segment_s": 0.05}), out=tmp_path / "r")
