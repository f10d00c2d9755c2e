"""ONNX files on onnxruntime: whatever a file holds, it runs or is refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from helpers.corpora import RATE
from helpers.graphs import graph_file
from helpers.speech import speech
from sordino.assets import STREAM_SUFFIX, student_file
from sordino.audio import sound_files
from sordino.errors import InputError
from sordino.inference.engine import open_engine
from sordino.inference.graphs.onnx_graph import open_graph
from sordino.inference.graphs.stream_graph import StreamGraph, open_stream
from sordino.inference.model import open_model


def edited(source: Path, target: Path, edit: Callable[[onnx.ModelProto], object]) -> Path:
    """A copy of an ONNX file with something changed in it."""
    proto = onnx.load(source)
    edit(proto)
    onnx.save(proto, target)
    return target


def say(key: str, value: str) -> Callable[[onnx.ModelProto], None]:
    """Put a word into the metadata, in place of what stands there."""

    def edit(proto: onnx.ModelProto) -> None:
        for fact in proto.metadata_props:
            fact.value = value if fact.key == key else fact.value

    return edit


def graph(path: Path, inputs: dict[str, list[int | str]], outputs: list[str]) -> Path:
    """A foreign graph that gives its first inputs back."""
    made = helper.make_graph(
        [helper.make_node("Identity", [given], [name]) for given, name in zip(inputs, outputs, strict=False)],
        "theirs",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    onnx.save(helper.make_model(made, ir_version=9, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_half_a_file_is_reported(tmp_path: Path, share: float) -> None:
    for suffix, run in ((".onnx", open_model), (".stream.onnx", open_engine)):
        content = student_file().with_suffix(suffix).read_bytes()
        path = tmp_path / f"student{suffix}"
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError, match=r"onnx: (cannot be opened as an ONNX model|a graph without)"):
            run(path)


def test_a_file_that_was_replaced_is_opened_anew_whatever_its_time_stamp(tmp_path: Path) -> None:
    path, times = tmp_path / "student.onnx", (10**9, 10**9)
    graphs = []
    for factor in (2.0, 4.0):
        nodes, ports = [("Mul", ["x", "factor"], ["y"])], ([("x", [1, "n"])], [("y", [1, "n"])])
        graph_file(path, nodes, *ports, {"factor": np.float32(factor)})
        os.utime(path, times)
        graphs.append((open_graph(path), path.stat().st_size))
    (first, size), (second, same) = graphs
    assert size == same
    assert second is not first
    assert open_graph(path) is second
    signal = np.ones((1, 400), np.float32)
    assert second.run([signal])[0] == pytest.approx(4 * signal)


@pytest.mark.parametrize("content", [b"these are words\n", b"\x00" * 5000, b"RIFF\x24\x00\x00\x00WAVEfmt "])
def test_another_file_under_the_name_of_one_is_reported_by_the_command(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "student.onnx").write_bytes(content)
    sound_files.write(tmp_path / "noisy.wav", speech(RATE)[None], RATE)
    words = ["enhance", str(tmp_path / "noisy.wav"), "-o", str(tmp_path / "clean.wav")]
    done = subprocess.run(
        [sys.executable, "-m", "sordino", *words, "--model", str(tmp_path / "student.onnx")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "student.onnx: cannot be opened as an ONNX model (" in done.stderr
    assert not (tmp_path / "clean.wav").exists()


def test_the_two_graphs_are_not_taken_for_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"and \d+ more; .*graph of a stream; name dualpath-24\.onnx"):
        open_model(student_file(suffix=".stream.onnx"))
    path = tmp_path / "unet.stream.onnx"
    path.write_bytes(student_file().read_bytes())
    with pytest.raises(InputError, match=r"is no graph of a stream: it takes noisy \[1, 'samples'\]"):
        open_engine(path)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"x": [1, 160], "state": [1, 3]}, ["y"]),
        ({"x": [1, "hop"], "state": [1, 3]}, ["y", "next"]),
        ({"x": [160], "state": [1, 3]}, ["y", "next"]),
    ],
)
def test_foreign_graphs_of_streams_are_reported(
    tmp_path: Path, inputs: dict[str, list[int | str]], outputs: list[str]
) -> None:
    path = graph(tmp_path / "theirs.stream.onnx", inputs, outputs)
    with pytest.raises(InputError, match=r"no graph of a stream: it takes x .*; expected hops"):
        StreamGraph(path)


def test_a_graph_without_inputs_is_reported(tmp_path: Path) -> None:
    value = helper.make_node("Constant", [], ["y"], value=helper.make_tensor("y", TensorProto.FLOAT, [1], [0.0]))
    made = helper.make_graph([value], "none", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])
    model = helper.make_model(made, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])
    onnx.save(model, tmp_path / "none.onnx")
    with pytest.raises(InputError, match="without input or output"):
        open_model(tmp_path / "none.onnx")


@pytest.mark.parametrize("value", ["", "0", "-16000", "16 kHz", "16000.0"])
def test_facts_that_are_none_are_reported(tmp_path: Path, value: str) -> None:
    path = edited(student_file(), tmp_path / "odd.onnx", say("sample_rate", value))
    with pytest.raises(InputError, match=r"odd\.onnx: says sample_rate = .*a whole number from 1"):
        open_model(path)
    path = edited(student_file(suffix=".stream.onnx"), tmp_path / "odd.stream.onnx", say("sample_rate", value))
    with pytest.raises(InputError, match=r"says sample_rate = .*a whole number from 1"):
        open_engine(path)


@pytest.mark.parametrize("name", ["dualpath-24", "manner-s-1.5gf"])
def test_a_model_that_is_called_takes_what_enhance_takes(name: str) -> None:
    model, noisy = open_model(name), speech(8000)
    whole = np.round(noisy * 2**15).astype(np.int16)
    np.testing.assert_allclose(model(whole), model(whole / 2**15), atol=1e-6)
    with pytest.raises(InputError, match=r"an array of shape \(1, 8000\); expected one channel"):
        model(noisy[None])


def test_the_number_of_threads_reaches_the_graph_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def opened(path: Path, threads: int, long_blocks: bool) -> StreamGraph:
        asked.append(threads)
        return open_stream(path, threads, long_blocks)

    monkeypatch.setattr("sordino.inference.graphs.stream_graph.open_stream", opened)
    for threads in (None, 3):
        open_model("dualpath-24", threads)
    assert asked == [1, 3]


def test_an_empty_graph_beside_that_of_a_stream_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").touch()
    (tmp_path / "a.stream.onnx").write_bytes(student_file("dualpath-24", STREAM_SUFFIX).read_bytes())
    with pytest.raises(InputError, match=r"a\.onnx: is not of the network that a\.stream\.onnx beside it is of"):
        open_model(tmp_path / "a.onnx")


def test_the_graph_of_a_stream_alone_enhances_files_too(tmp_path: Path) -> None:
    (tmp_path / "a.stream.onnx").write_bytes(student_file("dualpath-24", STREAM_SUFFIX).read_bytes())
    alone = open_model(tmp_path / "a.stream.onnx")
    noisy = speech(RATE)
    np.testing.assert_array_equal(alone(noisy), open_model("dualpath-24")(noisy))
