"""Models from elsewhere: a foreign ONNX graph or a function, as a row of an evaluation and as a teacher."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import sordino
from helpers.noise import white
from helpers.recipes import MANNER, SOUND, settings
from helpers.runs import interrupt_at, same_weights
from sordino import models
from sordino.audio import sound_files
from sordino.cli.main import main
from sordino.conformance.methods import batch_of
from sordino.distill.methods import METHODS
from sordino.distill.teachers import ExternalTeacher
from sordino.errors import InputError
from sordino.experiments import run as recipes
from sordino.experiments.build import build_trainer
from sordino.experiments.recipe import read
from sordino.inference.functions import LOST_S
from sordino.inference.model import Model, open_model
from sordino.losses import LOSSES
from sordino.plugins.catalogue import function
from sordino.plugins.import_string import is_name
from sordino.training import Objective, read_log
from sordino.types import Batch

RATE = 16000
HERE = __name__
NO_FUNCTION = 3


def halve(noisy: np.ndarray) -> np.ndarray:
    return 0.5 * noisy


class Halver:
    def enhance(self, noisy: np.ndarray) -> np.ndarray:
        return halve(noisy)


HALVER = Halver()


def foreign(path: Path, shape: Sequence[str | int] = (1, "time"), axes: int = 2, inputs: int = 1) -> Path:
    """An ONNX file as nobody here writes it: names of its own, no metadata; it halves its input."""
    halves = [helper.make_node("Mul", ["audio_0", "half"], ["halved"])]
    halves.append(
        helper.make_node("Unsqueeze", ["halved", "first"], ["out"])
        if axes == 3
        else helper.make_node("Identity", ["halved"], ["out"])
    )
    graph = helper.make_graph(
        halves,
        "theirs",
        [helper.make_tensor_value_info(f"audio_{i}", TensorProto.FLOAT, shape) for i in range(inputs)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * axes)],
        [
            helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5]),
            helper.make_tensor("first", TensorProto.INT64, [1], [0]),
        ],
    )
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


# A function by its name


def test_a_function_is_found_by_its_name() -> None:
    assert function(f"{HERE}:halve") is halve
    assert function(f"{HERE}:HALVER.enhance") == HALVER.enhance
    assert function("os.path:join") is os.path.join


@pytest.mark.parametrize("word", ["halve", "a.onnx", "C:\\a.onnx", "a:b:c", "a:", ":b", "runs/a:b", "a.1:b", ""])
def test_other_words_name_no_function(word: str) -> None:
    assert not is_name(word)
    with pytest.raises(InputError, match=r"package\.module:function"):
        function(word)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.at_all:enhance", "there is no module nowhere"),
        (f"{HERE}:heal", "has no heal"),
        (f"{HERE}:NO_FUNCTION", "is a int"),
    ],
)
def test_a_function_that_is_not_there_is_reported(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_model(name)


# Opened


def test_a_foreign_graph_and_a_function_run_at_the_rate_that_is_given(tmp_path: Path) -> None:
    path, noisy = foreign(tmp_path / "theirs.onnx"), white(1000)
    for model in (path, str(path), halve, f"{HERE}:halve", f"{HERE}:HALVER.enhance"):
        opened = open_model(model)
        assert opened.sample_rate == RATE
        assert np.array_equal(opened(noisy), 0.5 * noisy)
        assert open_model(model, sample_rate=48000).sample_rate == 48000
    assert open_model(path).name == "theirs"
    assert open_model(f"{HERE}:halve").name == f"{HERE}:halve"


def test_a_rate_that_contradicts_the_model_is_refused() -> None:
    for model in (None, models.create("manner-s", hidden=2, depth=3), Model("halve", RATE, halve)):
        assert open_model(model, sample_rate=RATE).sample_rate == RATE
        with pytest.raises(InputError, match=r"8000 Hz, but .* works at 16000 Hz"):
            open_model(model, sample_rate=8000)
    with pytest.raises(InputError, match="a rate above 0"):
        open_model(halve, sample_rate=-1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": (1, 400)}, r"takes 400 samples at once and keeps no state; expected a state, or"),
        ({"shape": (4, "time")}, r"takes audio_0 \[4, 'time'\]"),
        ({"inputs": 2}, "audio_0 .*, audio_1"),
        ({"axes": 3}, r"gives out \[1, 1, 'time'\]; expected samples \[1,T\] in and out"),
    ],
)
def test_a_graph_that_does_not_fit_is_reported(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    path = foreign(tmp_path / "theirs.onnx", **wrong)
    with pytest.raises(InputError, match=message):
        open_model(path)(white(400))


def test_a_graph_that_fails_on_some_length_is_reported(tmp_path: Path) -> None:
    reshape = helper.make_node("Reshape", ["audio", "frames"], ["out"])
    graph = helper.make_graph(
        [reshape],
        "theirs",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", "time"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, None])],
        [helper.make_tensor("frames", TensorProto.INT64, [2], [-1, 512])],
    )
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)]), tmp_path / "t.onnx")
    model = open_model(tmp_path / "t.onnx")
    assert model(white(512)).shape == (512,)
    with pytest.raises(InputError, match=r"t\.onnx: failed on 700 samples"):
        model(white(700))


def test_the_last_incomplete_frame_may_be_missing_and_no_more() -> None:
    lost = round(LOST_S * RATE)
    assert sordino.enhance(white(8000), RATE, lambda noisy: noisy[:-lost])[-lost:].tolist() == [0.0] * lost
    assert open_model(lambda noisy: np.append(noisy, 1.0))(white(8000)).shape == (8000,)
    with pytest.raises(InputError, match=r"shape \(6399,\) for 8000 samples; expected as many samples"):
        sordino.enhance(white(8000), RATE, lambda noisy: noisy[: -lost - 1])


# A row of an evaluation


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[str, str]:
    for kind, seed in (("noisy", 1), ("clean", 2)):
        wave = white(12000, seed=2) + (white(12000, seed=seed) if kind == "noisy" else 0)
        sound_files.write(tmp_path / kind / "a.wav", wave, RATE, "FLOAT")
    return str(tmp_path / "noisy"), str(tmp_path / "clean")


def test_models_from_elsewhere_are_scored(tmp_path: Path, pairs: tuple[str, str]) -> None:
    ratios = ("si_sdr_db", "snr_db")
    noisy = sordino.evaluate(None, pairs, metrics=ratios, workers=0).means()
    for model in (foreign(tmp_path / "theirs.onnx"), f"{HERE}:halve", halve):
        scores = sordino.evaluate(model, pairs, metrics=ratios, workers=0)
        assert scores.means()["si_sdr_db"] == pytest.approx(noisy["si_sdr_db"], abs=1e-4)  # whatever the scale
        assert scores.means()["snr_db"] > noisy["snr_db"] + 1


def test_a_model_from_elsewhere_on_the_command_line(
    tmp_path: Path, pairs: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "their_denoiser.py").write_text("def enhance(noisy):\n    return 0.5 * noisy\n")
    foreign(tmp_path / "theirs.onnx")
    words = ["--data", *pairs, "--metrics", "snr_db", "--workers", "0", "--json"]
    main(["evaluate", "their_denoiser:enhance", *words, "--out", "scored"])
    by_function = json.loads(capsys.readouterr().out)
    main(["evaluate", "theirs.onnx", *words])
    assert json.loads(capsys.readouterr().out)["means"] == pytest.approx(by_function["means"])
    assert (
        json.loads((tmp_path / "scored" / "scores.json").read_text())["metadata"]["model"] == "their_denoiser:enhance"
    )
    main(["evaluate", "theirs.onnx", *words, "--model-rate", "48000", "--sample-rate", "8000"])
    metadata = json.loads(capsys.readouterr().out)["metadata"]
    assert (metadata["model_rate"], metadata["sample_rate"]) == (48000, 8000)


# A teacher


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
