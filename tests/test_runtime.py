"""ONNX files on onnxruntime: whatever a file holds, it runs or is refused in one line; and the student streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import sordino
from helpers.graphs import graph_file
from sordino.assets import SPEECH, STREAM_SUFFIX, student_file, students
from sordino.audio import sound_files
from sordino.errors import InputError
from sordino.inference.engine import Engine, open_engine
from sordino.inference.graphs.onnx_graph import open_graph
from sordino.inference.graphs.stream_graph import StreamGraph
from sordino.inference.model import open_model

RATE = 16000


def speech(length: int = 3 * RATE) -> np.ndarray:
    clean, _ = sound_files.read(Path(str(SPEECH)), RATE)
    return clean[0, :length] + 0.01 * np.random.default_rng(0).standard_normal(length).astype(np.float32)


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


# The student that ships


def test_the_default_student_streams_as_it_enhances() -> None:
    noisy = speech()
    for rate, channels in ((RATE, 1), (48000, 2)):
        resampled = np.stack([sound_files.resample(noisy, RATE, rate)] * channels)
        streamer = sordino.Streamer(sample_rate=rate, channels=channels, low_delay=False)
        parts = [streamer.feed(block) for block in np.array_split(resampled, 97, axis=1)]
        found = np.concatenate([*parts, streamer.flush()], axis=1)
        np.testing.assert_allclose(found, sordino.enhance(resampled, rate), atol=1e-5)
    assert sordino.Streamer().latency_s == 0.032


def test_standard_input_is_enhanced_by_the_default_student(tmp_path: Path) -> None:
    noisy = speech(RATE)
    sound_files.write(tmp_path / "noisy.wav", noisy[None], RATE, "FLOAT")
    with open(tmp_path / "noisy.wav", "rb") as source, open(tmp_path / "clean.wav", "wb") as target:
        words = [sys.executable, "-m", "sordino", "enhance", "--stream"]
        done = subprocess.run(words, stdin=source, stdout=target, stderr=subprocess.PIPE, text=True, check=True)
    assert "latency 32.0 ms" in done.stderr
    np.testing.assert_allclose(sound_files.read(tmp_path / "clean.wav")[0][0], sordino.enhance(noisy, RATE), atol=1e-5)


def test_streams_share_a_graph_and_nothing_else() -> None:
    first, second = open_engine(), open_engine()
    assert isinstance(first, Engine)
    assert open_graph(student_file(suffix=".stream.onnx")) is open_graph(student_file(suffix=".stream.onnx"))
    blocks = [speech(60 * first.hop)[None], speech(60 * first.hop)[::-1][None].copy()]
    alone = [engine.step(block, engine.start(1))[0] for engine, block in zip((first, second), blocks, strict=True)]
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda engine, block: engine.step(block, engine.start(1))[0], (first, second), blocks))
    assert all(np.array_equal(one, other) for one, other in zip(alone, both, strict=True))


def test_a_state_is_left_as_it_was() -> None:
    engine = open_engine()
    block, state = speech(engine.hop)[None], engine.start(1)
    once, after = engine.step(block, state)
    assert np.array_equal(once, engine.step(block, state)[0])
    assert not np.array_equal(once, engine.step(block, after)[0])


def test_many_hops_at_once_say_what_they_say_one_by_one() -> None:
    engine = StreamGraph(student_file(suffix=".stream.onnx"))
    speech_60 = speech(60 * engine.hop)
    noisy, state, parts = np.stack([speech_60, speech_60[::-1]]), engine.start(2), []
    at_once, after = engine.step(np.asfortranarray(noisy), state)
    for block in np.split(noisy, 60, axis=1):
        estimate, state = engine.step(block, state)
        parts.append(estimate)
    np.testing.assert_allclose(at_once, np.concatenate(parts, axis=1), atol=1e-5)
    for channel, other in zip(after, state, strict=True):
        assert all(np.allclose(one, two, atol=1e-4) for one, two in zip(channel, other, strict=True))


@pytest.mark.parametrize("name", [name for name in students() if student_file(name, STREAM_SUFFIX).is_file()])
def test_a_stream_runs_by_its_own_description_alone(name: str) -> None:
    path = str(student_file(name, STREAM_SUFFIX))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about, words = session.get_modelmeta().custom_metadata_map, session.get_modelmeta().description
    hop, delay, rate = (int(about[key]) for key in ("hop", "delay", "sample_rate"))
    assert int(about["window"]) == delay + hop == int(about["latency_samples"])
    for phrase in (f"[hops,{hop}]", f"{delay} samples late", f"feed {delay} zeros", f"{rate} Hz"):
        assert phrase in words
    returned: dict[str, str] = json.loads(about["state"])
    assert about["initial_state"] == "zeros"
    assert all(port in words for ports in returned.items() for port in ports)
    shapes = {one.name: one.shape for one in session.get_inputs()}
    state = {port: np.zeros(shapes[port], np.float32) for port in returned}
    noisy, parts = speech(rate + 77), []
    for block in np.pad(noisy, (0, delay + -(len(noisy) + delay) % hop)).reshape(-1, 1, hop):
        given = session.run(["estimate", *returned.values()], {"noisy": block, **state})
        state = dict(zip(returned, given[1:], strict=True))
        parts.append(given[0][0])
    estimate = np.concatenate(parts)[delay : delay + len(noisy)]
    np.testing.assert_allclose(estimate, sordino.enhance(noisy, rate, name), atol=1e-5)


def test_memory_of_long_passes_goes_back_when_the_sound_is_done() -> None:
    script = """
import numpy as np
from sordino.inference.model import open_model
model = open_model("manner-s-1.5gf", threads=1)
def resident():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024
model.run(np.zeros(16000, np.float32))
print(resident())
model.run(np.zeros(20 * 16000, np.float32))
print(resident())
model(np.zeros(20 * 16000, np.float32))
print(resident())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, kept, after = map(float, done.stdout.split())
    assert kept > before + 30
    assert after < before + 10


# Files that are none, or others


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
