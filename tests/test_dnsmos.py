"""DNSMOS P.835 beside the package that publishes it, without a clean signal, and without the network."""

from __future__ import annotations

import importlib
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from helpers.real import MISSING, PAIRS
from sordino import metrics
from sordino.audio.sound_files import read_mono, write
from sordino.cli import main
from sordino.errors import InputError
from sordino.evaluation.evaluate import evaluate
from sordino.evaluation.score import Scores, score
from sordino.metrics import MetricFailure, dnsmos, measure
from sordino.metrics.dnsmos import FILE, model_file
from sordino.report.runs import RunRow, run_table
from sordino.report.scores import score_table
from sordino.types import Item

RATE = 16000
WINDOW = 144_160
NAMES = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak")
installed = pytest.mark.skipif(find_spec("speechmos") is None, reason="needs the package speechmos")


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.2 * np.sin(2 * np.pi * 180 * time) * np.sin(2 * np.pi * time) + 0.01 * random.standard_normal(len(time))


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A network of DNSMOS's shape whose three outputs are 1, 2 and 3 times the mean of the window."""
    mean = helper.make_node("ReduceMean", ["input_1"], ["mean"], axes=[1], keepdims=1)
    scaled = helper.make_node("Mul", ["mean", "factors"], ["output"])
    factors = helper.make_tensor("factors", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    source = helper.make_tensor_value_info("input_1", TensorProto.FLOAT, ["N", WINDOW])
    target = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph([mean, scaled], "mean", [source], [target], [factors])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "mean.onnx")
    return tmp_path / "mean.onnx"


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE, raising=False)
    monkeypatch.setattr(importlib.import_module("sordino.metrics.dnsmos"), "find_spec", lambda name: None)


def published(monkeypatch: pytest.MonkeyPatch):
    """The package's own function. What it imports for its other measures is left out."""
    for name, needed in (("librosa", {}), ("requests", {"session": None})):
        module = types.ModuleType(name)
        module.__dict__.update(needed)
        monkeypatch.setitem(sys.modules, name, module)
    module = importlib.import_module("speechmos.dnsmos")
    monkeypatch.setattr(module.DNSMOS, "audio_melspec", lambda *_, **__: np.zeros((900, 120)))
    return module.run


@installed
@pytest.mark.parametrize("seconds", [2.3, 9.02, 10.99, 12.0])
def test_figures_equal_the_published_package(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE, raising=False)
    found, published_figures = dnsmos(sound(seconds), RATE), published(monkeypatch)(sound(seconds), RATE)
    for name in NAMES:
        assert found[name] == pytest.approx(published_figures[f"{name.removeprefix('dnsmos_')}_mos"], abs=1e-4)


@installed
def test_real_recordings_score_as_measured_with_the_published_package(monkeypatch: pytest.MonkeyPatch) -> None:
    if not PAIRS.is_dir():
        pytest.skip(MISSING)
    monkeypatch.delenv(FILE, raising=False)
    path = sorted((PAIRS / "dns2020-no-reverb" / "noisy").glob("*.flac"))
    found = np.mean([list(dnsmos(read_mono(one, RATE), RATE).values()) for one in path], axis=0)
    assert found[0] == pytest.approx(2.80, abs=0.01)


def test_windows_are_averaged_and_a_short_recording_is_repeated(network: Path) -> None:
    def mapped(raw: float) -> float:
        return -0.08397278 * raw**2 + 1.22083953 * raw + 0.0052439

    # 11 s hold two windows, from 0 and from 1 s on; the ratings are averaged after the polynomial.
    steps = np.concatenate([np.full(RATE, 0.9), np.full(10 * RATE, 0.1)])
    first = (0.9 * RATE + 0.1 * (WINDOW - RATE)) / WINDOW
    expected = (mapped(first) + mapped(0.1)) / 2
    assert dnsmos(steps, RATE, network)["dnsmos_sig"] == pytest.approx(expected, abs=1e-3)
    # 3 s are repeated to 12 s.
    ramp = np.concatenate([np.full(RATE, 0.6), np.full(2 * RATE, 0.3)])
    windows = [np.tile(ramp, 4)[k * RATE : k * RATE + WINDOW].mean() for k in range(3)]
    expected = np.mean([mapped(one) for one in windows])
    assert dnsmos(ramp, RATE, network)["dnsmos_sig"] == pytest.approx(expected, abs=1e-3)
    # 4 s are repeated to 16 s, whose last three windows are the first three once more.
    ramp = np.concatenate([np.full(RATE, 0.9), np.full(3 * RATE, 0.1)])
    windows = [np.tile(ramp, 4)[k * RATE : k * RATE + WINDOW].mean() for k in range(7)]
    expected = np.mean([mapped(one) for one in windows])
    assert dnsmos(ramp, RATE, network)["dnsmos_sig"] == pytest.approx(expected, abs=1e-4)
    assert dnsmos(np.full(RATE, 3.0), RATE, network) == dnsmos(np.ones(RATE), RATE, network)


def test_it_needs_no_clean_signal(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE, str(network))
    noisy = sound(2.0)
    alone = measure(None, noisy, RATE, ("dnsmos",))
    assert tuple(alone.values) == NAMES
    assert not alone.failures
    beside = measure(np.zeros(RATE), noisy, RATE, ("si_sdr_db", "dnsmos"), align="shorter")
    assert beside.values == alone.values
    assert beside.failures == {"si_sdr_db": "the clean signal is silent"}
    with pytest.raises(InputError, match="si_sdr_db: there is no clean signal"):
        measure(None, noisy, RATE, ("si_sdr_db", "dnsmos"))
    item = Item(noisy.astype(np.float32), None, len(noisy), "one")
    scores = score(None, [item], ("dnsmos",), workers=0)
    assert scores.means() == pytest.approx(alone.values, abs=1e-6)
    assert scores.metadata["computed_by"]["dnsmos"].startswith("sig_bak_ovr.onnx sha256:")
    with pytest.raises(InputError, match="no clean reference"):
        score(None, [item], ("dnsmos", "si_sdr_db"), workers=0)


def test_the_fingerprint_tells_files_apart(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE, str(network))
    before = metrics.describe("dnsmos")
    other = network.with_name("other.onnx")
    other.write_bytes(network.read_bytes() + b"\x72\x00")  # an empty, unknown field: the same network
    monkeypatch.setenv(FILE, str(other))
    assert metrics.describe("dnsmos") != before


def test_what_cannot_be_judged_has_a_reason(network: Path) -> None:
    for signal, reason in ((np.zeros(RATE), "silent"), (np.zeros(0), "empty"), (np.full(RATE, np.nan), "NaN")):
        with pytest.raises(MetricFailure, match=reason):
            dnsmos(signal, RATE, network)
    with pytest.raises(InputError, match="8000 Hz"):
        dnsmos(sound(1.0), 8000, network)


@pytest.mark.usefixtures("absent")
def test_without_the_network_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    item = Item(np.ones(RATE, np.float32), np.ones(RATE, np.float32), RATE, "one")
    with pytest.raises(InputError, match=r"pip install speechmos.*SORDINO_DNSMOS") as error:
        score(called.append, [item], ("si_sdr_db", "dnsmos"), workers=0)
    assert "\n" not in str(error.value)
    assert not called  # before anything was enhanced
    monkeypatch.setenv(FILE, str(tmp_path / "none.onnx"))
    with pytest.raises(InputError, match="no such file"):
        model_file()
    (tmp_path / "none.onnx").write_text("no network")
    with pytest.raises(InputError, match="cannot be opened as an ONNX model"):
        dnsmos(sound(1.0), RATE)
    assert "dnsmos" not in metrics.DEFAULT


def test_another_network_is_refused(network: Path) -> None:
    model = onnx.load(network)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    model.graph.initializer[0].CopyFrom(helper.make_tensor("factors", TensorProto.FLOAT, [2], [1.0, 2.0]))
    onnx.save(model, network)
    with pytest.raises(InputError, match=r"DNSMOS P\.835"):
        dnsmos(sound(1.0), RATE, network)


def test_a_folder_without_clean_speech_is_scored(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FILE, "")  # the command sets it; this undoes that
    folder = tmp_path / "noisy"
    for name in ("a", "b"):
        write(folder / f"{name}.wav", sound(1.0, ord(name)).astype(np.float32), RATE)
    out = tmp_path / "scores"
    words = ["evaluate", "noisy", "--data", str(folder), "--metrics", "dnsmos", "--workers", "0"]
    main.main([*words, "--dnsmos", str(network), "--out", str(out)])
    scores = Scores.from_json(out / "scores.json")
    assert [row["id"] for row in scores.rows] == ["a.wav", "b.wav"]
    assert tuple(scores.means()) == NAMES
    with pytest.raises(InputError, match="no clean reference"):
        evaluate(None, folder, workers=0)


def test_all_measures_stand_in_one_table(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE, str(network))
    clean = sound(2.0)
    item = Item((clean + 0.01 * sound(2.0, 5)).astype(np.float32), clean.astype(np.float32), len(clean), "one")
    asked = ("pesq_wb", "estoi", "si_sdr_db", "composite", "dnsmos")
    scores = score(None, [item], asked, workers=0)
    scores.metadata["model"] = "noisy"
    for shown in (score_table(scores).to_text(), run_table([RunRow.of(scores)]).to_text()):
        for label in ("PESQ", "ESTOI (%)", "SI-SDR (dB)", "COVL", "DNSMOS OVRL", "DNSMOS SIG", "DNSMOS BAK"):
            assert label in shown
