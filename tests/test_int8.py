"""int8: weights are integers, streams go along, what loses too much is not kept, and each attempt is reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import TensorsData

import sordino
from helpers.exports import ABOUT, OLDER_GRAPH, SMALLEST, export
from sordino import models
from sordino.audio import sound_files
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.export import Quantised, to_int8
from sordino.export.int8 import Attempt
from sordino.export.onnx_files import run_stream, run_whole, speech_signals
from sordino.export.quantise import Plan, feeds_of_recordings, parts, quantised, ranges
from sordino.inference.graphs.onnx_graph import Graph, stream_file
from sordino.types import Enhance

NETWORKS = ("manner-s", "unet", "demucs-running")
SIGNALS = [signal[8000:14000] for signal in speech_signals(16000)[-1:]]


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def nearness(path: Path) -> Callable[[Enhance], dict[str, float]]:
    """A judge to whom the float network is worth 0, and another its relative error below it."""
    wanted = [run_whole(path)(signal) for signal in SIGNALS]
    return lambda run: {str(i): -relative(run(signal), wanted[i]) for i, signal in enumerate(SIGNALS)}


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request: pytest.FixtureRequest, kept: Path) -> Path:
    return export(request.param, kept).path


def test_weights_are_integers_and_the_loss_is_reported(exported: Path, tmp_path: Path) -> None:
    path, lines = tmp_path / "student.onnx", []
    done = to_int8(exported, path, SIGNALS, nearness(exported), 1.0, lines.append)
    assert lines == [str(attempt) for attempt in done.attempts]
    assert lines[0].startswith("static, every part: -0.")
    assert done.score == pytest.approx(0, abs=1e-6)
    assert done.streams == stream_file(path).exists() == stream_file(exported).exists()
    runs = [run_whole(path), *([run_stream(stream_file(path))] if done.streams else [])]
    lost = max(relative(run(SIGNALS[0]), run_whole(exported)(SIGNALS[0])) for run in runs)
    assert 1e-4 < lost == pytest.approx(done.attempts[-1].drop, rel=1e-3)
    for file in (path, stream_file(path))[: 1 + done.streams]:
        proto = onnx.load(file)
        matrices = [weight for weight in proto.graph.initializer if len(weight.dims) > 2]
        assert any(weight.data_type == onnx.TensorProto.INT8 for weight in matrices)
        about = Graph(str(file)).about
        assert json.loads(about["about"]) == ABOUT
        assert json.loads(about["int8"])["plan"] == {"mode": "static", "kept": list(done.attempts[-1].plan.kept)}
    if exported.parent.name == "demucs-running":
        assert {node.op_type for node in onnx.load(path).graph.node} >= {"DynamicQuantizeLSTM"}


def test_parts_that_hurt_stay_in_float_until_the_rest_passes(kept: Path, tmp_path: Path) -> None:
    path = export("manner-s", kept).path
    everything = to_int8(path, tmp_path / "all.onnx", SIGNALS, nearness(path), 1.0).attempts[0]
    some = to_int8(path, tmp_path / "some.onnx", SIGNALS, nearness(path), 0.7 * everything.drop)
    assert some.attempts[0] == everything
    left = [attempt.plan.kept for attempt in some.attempts]
    assert [len(names) for names in left] == list(range(len(left)))
    assert all(after[: len(before)] == before for before, after in pairwise(left))
    assert some.attempts[-1].drop <= 0.7 * everything.drop < some.attempts[-2].drop
    proto = onnx.load(tmp_path / "some.onnx")
    weights = {weight.name: weight.data_type for weight in proto.graph.initializer}
    floats = {name for name, kind in weights.items() if kind == onnx.TensorProto.FLOAT and name.endswith(".weight")}
    names = parts(onnx.load(path).graph)
    assert set(left[-1]) < set(names)
    assert all(any(weight.startswith(part) for weight in floats) for part in left[-1])


def test_what_loses_too_much_is_not_kept(kept: Path, tmp_path: Path) -> None:
    source, target, lines = export("unet", kept).path, tmp_path / "student.onnx", []
    target.write_bytes(OLDER_GRAPH)
    with pytest.raises(InputError, match=r"student\.onnx: int8 lost .* PESQ in the best of \d+ attempts"):
        to_int8(source, target, SIGNALS, nearness(source), -1.0, lines.append)
    assert target.read_bytes() == OLDER_GRAPH
    assert not stream_file(target).exists()
    assert len(lines) == len(parts(onnx.load(source).graph))


def test_a_recording_that_cannot_be_scored_any_more_is_a_loss(kept: Path, tmp_path: Path) -> None:
    source = export("unet", kept).path
    answers = iter([{"a": 1.0, "b": 1.0}])
    with pytest.raises(InputError, match="lost inf PESQ"):
        to_int8(source, tmp_path / "student.onnx", SIGNALS, lambda run: next(answers, {"a": 1.0}), 1.0)
    with pytest.raises(InputError, match="there is no signal"):
        to_int8(source, tmp_path / "student.onnx", [], lambda run: {"a": 1.0})


def test_matrices_with_ranges_found_in_each_call(tmp_path: Path) -> None:
    path, student = tmp_path / "dynamic.onnx", sordino.assets.student_file("manner-s-1.5gf")
    reach = ranges(student, feeds_of_recordings(student, SIGNALS))
    onnx.save(quantised(onnx.load(student), Plan("dynamic"), reach), path)
    assert "MatMulInteger" in {node.op_type for node in onnx.load(path).graph.node}
    assert 1e-4 < relative(run_whole(path)(SIGNALS[0]), run_whole(student)(SIGNALS[0])) < 0.05


def test_a_stream_with_ranges_found_in_each_call_does_not_depend_on_its_blocks(tmp_path: Path) -> None:
    student, path = sordino.assets.student_file("dualpath-24", sordino.assets.STREAM_SUFFIX), tmp_path / "d.stream.onnx"
    proto = onnx.load(student)
    onnx.save(quantised(proto, Plan("dynamic"), TensorsData(CalibrationMethod.MinMax, {})), path)
    by_hop, at_once = (run_stream(path, hops)(SIGNALS[0]) for hops in (1, 100))
    np.testing.assert_array_equal(by_hop, at_once)
    assert relative(by_hop, run_stream(student)(SIGNALS[0])) > 1e-4
    assert onnx.load(path).doc_string == proto.doc_string.replace("[hops,", "[1,") != proto.doc_string


@pytest.mark.parametrize(("size", "lines"), [(900, 1), (1000, 2), (1100, 2)])
def test_the_command_says_where_8_bits_make_nothing_smaller(
    size: int, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = Quantised((Attempt(Plan("static"), 0.01, size),), 2.0, 1000, False)
    monkeypatch.setattr("sordino.experiments.export.export_int8", lambda *_, **__: done)
    main(["export", "unet-24", "-o", "x.onnx", "--int8", "--data", "noisy", "clean"])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == lines
    assert printed[1:] == [line for line in printed if "8 bits make it no smaller" in line]


def test_a_checkpoint_is_quantised_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, student = tmp_path / "best.safetensors", tmp_path / "student.onnx"
    models.save(models.create(**SMALLEST), checkpoint)
    clean = sound_files.read_mono(sordino.assets.SPEECH, 16000)[:48000]
    noise = 0.02 * np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    for side, sound in (("noisy", clean + noise), ("clean", clean)):
        sound_files.write(tmp_path / side / "1.wav", sound, 16000)
    folders = [str(tmp_path / side) for side in ("noisy", "clean")]
    words = ["export", str(checkpoint), "-o", str(student)]
    main([*words, "--int8", "--data", *folders, "--max-drop", "3", "--json"])
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert answer["stream_output"] == str(stream_file(student))
    assert abs(answer["attempts"][0]["drop"]) < 1
    assert output.err.startswith("static, every part: ")
    sordino.enhance(clean, 16000, student)
    impossible = ["--int8", "--data", *folders, "--max-drop", "nan"]
    for wrong in (["--int8"], ["--data", *folders], ["--max-drop", "1"], impossible):
        with pytest.raises(SystemExit) as left:
            main([*words, *wrong])
        assert left.value.code == 2


def test_the_float_file_and_signals_of_no_use_are_refused(kept: Path, tmp_path: Path) -> None:
    source = export("unet", kept).path
    before = source.read_bytes()
    with pytest.raises(InputError, match="is the float network itself"):
        to_int8(source, source, SIGNALS, nearness(source))
    assert source.read_bytes() == before
    with pytest.raises(InputError, match="calibration: none of 2 signals has 256 samples"):
        to_int8(source, tmp_path / "student.onnx", [np.zeros(255), np.zeros(9)], nearness(source))
