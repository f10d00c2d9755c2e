"""Models from elsewhere: a foreign ONNX graph or a function, opened, and as a row of an evaluation."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import sordino
from helpers.corpora import RATE
from helpers.functions import halve
from helpers.graphs import foreign
from helpers.noise import white
from sordino import models
from sordino.audio import sound_files
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.inference.functions import LOST_S
from sordino.inference.model import Model, open_model
from sordino.plugins.catalogue import function
from sordino.plugins.import_string import is_name

HERE = __name__
NO_FUNCTION = 3


class Halver:
    def enhance(self, noisy: np.ndarray) -> np.ndarray:
        return halve(noisy)


HALVER = Halver()

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
    for rate, message in ((44100.5, "44100.5; expected a whole number of Hz"), (10, "10 Hz; expected 1,000 to")):
        with pytest.raises(InputError, match=message):
            open_model(halve, sample_rate=rate)  # pyright: ignore[reportArgumentType]
    assert open_model(halve, sample_rate="48000").sample_rate == 48000  # pyright: ignore[reportArgumentType]


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
