"""Models from elsewhere as teachers: a foreign ONNX graph or a function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sordino
from helpers.corpora import RATE
from helpers.functions import halve
from helpers.graphs import foreign
from helpers.recipes import MANNER, SOUND, settings
from helpers.runs import interrupt_at, same_weights
from sordino import models
from sordino.audio import sound_files
from sordino.conformance.methods import batch_of
from sordino.distill.methods import METHODS
from sordino.distill.teachers import ExternalTeacher
from sordino.errors import InputError
from sordino.experiments import run as recipes
from sordino.experiments.build import build_trainer
from sordino.experiments.recipe import read
from sordino.losses import LOSSES
from sordino.training import Objective, read_log
from sordino.types import Batch

HERE = __name__


def recipe(teacher: dict[str, Any], **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "data": SOUND,
        "model": MANNER,
        "teacher": teacher,
        "loss": {},
        "distill": {"output": {"loss": "l1"}},
        "train": settings(4),
    }
    return {**values, **changes}


def test_the_target_is_what_the_function_says() -> None:
    batch = batch_of(4000)
    before = batch.noisy.clone()

    def meddle(noisy: np.ndarray) -> np.ndarray:
        noisy *= 0.5
        return noisy

    for run in (halve, meddle, lambda noisy: torch.nn.Parameter(torch.from_numpy(noisy)) / 2):
        view = ExternalTeacher(run, "theirs", RATE)(batch)
        assert torch.equal(view.wave, 0.5 * before)
        assert (view.wave.dtype, view.wave.requires_grad, view.feats) == (torch.float32, False, {})
    assert torch.equal(batch.noisy, before)


def test_a_function_that_gives_integers_is_refused() -> None:
    teacher = ExternalTeacher(lambda noisy: (noisy * 32767).astype(np.int16), "theirs", RATE)
    with pytest.raises(InputError, match="teacher theirs: gave values of type int16; expected samples, floating point"):
        teacher(batch_of(4000))


def test_the_function_computes_as_it_would_anywhere_else() -> None:
    seen = []

    def run(noisy: np.ndarray) -> np.ndarray:
        seen.append((torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()))
        return noisy

    with torch.autocast("cpu", torch.bfloat16):
        ExternalTeacher(run, "theirs", RATE)(batch_of(4000))
    assert seen == [(False, False)] * 2


def test_a_batch_of_any_size_is_asked_for_in_parts() -> None:
    seen = []

    def run(noisy: np.ndarray) -> np.ndarray:
        seen.append(noisy.shape)
        return sordino.enhance(noisy, RATE, halve, high_band="drop")

    noisy = 0.1 * torch.randn(130, 400)
    batch = Batch(noisy, None, torch.full((130,), 400), tuple(map(str, range(130))))
    view = ExternalTeacher(run, "theirs", RATE, batches=True)(batch)
    assert seen == [(64, 400), (64, 400), (2, 400)]
    torch.testing.assert_close(view.wave, noisy / 2, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda noisy: noisy * np.nan, "teacher theirs: gave NaN or infinite samples for first"),
        (lambda noisy: noisy[:-1], r"teacher theirs: gave an array of shape \(3999,\) for the 4000 samples of first"),
        (lambda noisy: noisy[None], r"shape \(1, 4000\)"),
    ],
)
def test_a_target_that_is_none_is_reported(run: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ExternalTeacher(run, "theirs", RATE)(batch_of(4000))


@pytest.mark.parametrize("kind", ["onnx", "callable"])
def test_a_model_from_elsewhere_teaches(tmp_path: Path, kind: str) -> None:
    model = str(foreign(tmp_path / "theirs.onnx")) if kind == "onnx" else f"{HERE}:halve"
    values = recipe({kind: model})
    objective = build_trainer(read(values), tmp_path / "built").objective
    student, batch = models.create("manner-s", hidden=2, depth=3), batch_of(4000)
    total, terms = objective(student, batch)
    expected = LOSSES["l1"]()(0.5 * batch.noisy, student(batch.noisy), batch.noisy).mean()
    assert terms.keys() == {"kd/output"}
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    total.backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert not list(objective.parameters())

    outcome = recipes.train(values, out=tmp_path / "run")
    assert "kd/output" in read_log(tmp_path / "run")[0]
    assert read(tmp_path / "run" / "recipe.yaml") == read(values)
    assert models.read_header(outcome.checkpoint)["about"]["recipe"]["teacher"] == {kind: model}


HEARD: list[int] = []


def listen(noisy: np.ndarray) -> np.ndarray:
    HEARD.append(len(noisy))
    return noisy


def test_a_teacher_at_another_rate_hears_the_student_s_sound_resampled(tmp_path: Path) -> None:
    values = read(recipe({"callable": f"{HERE}:listen", "sample_rate": 8000}))
    teacher = build_trainer(values, tmp_path).objective.teacher
    assert teacher is not None
    HEARD.clear()
    batch = batch_of(4001)
    wave = teacher(batch).wave
    assert HEARD == [2001, 2001] or HEARD == [2000, 2000]
    expected = [
        sound_files.resample(sound_files.resample(noisy, RATE, 8000), 8000, RATE) for noisy in batch.noisy.numpy()
    ]
    assert wave.shape == batch.noisy.shape
    assert np.allclose(wave.numpy()[:, :4000], np.stack(expected)[:, :4000], atol=1e-6)


@pytest.mark.parametrize("method", ["at", "mvat"])
def test_methods_on_features_refuse_before_training_starts(tmp_path: Path, method: str) -> None:
    values = recipe({"callable": f"{HERE}:halve"}, distill={method: {}})
    with pytest.raises(InputError, match=rf"distill\.{method}: .* {HERE}:halve as the teacher, .* estimate alone"):
        recipes.train(values, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    teacher = ExternalTeacher(halve, "theirs", RATE)
    with pytest.raises(InputError, match="tap latent: theirs has no such tap"):
        teacher(batch_of(4000), ["latent"])
    with pytest.raises(InputError, match="works at 8000 Hz; expected 16000 Hz"):
        Objective(
            {}, {"output": METHODS["output"]()}, models.create("manner-s"), ExternalTeacher(halve, "theirs", 8000)
        )


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    values = recipe({"onnx": str(foreign(tmp_path / "theirs.onnx")), "sample_rate": 8000})
    recipes.train(values, out=tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        recipes.train(values, out=tmp_path / "cut", progress=interrupt_at(2))
    recipes.train(values, out=tmp_path / "cut", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "cut")
    other = recipe({"callable": f"{HERE}:halve"})
    with pytest.raises(InputError, match=r"teacher\.\w+ is .*, but the run began with"):
        recipes.train(other, out=tmp_path / "cut", resume=True)
