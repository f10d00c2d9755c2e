"""Students that ship on onnxruntime: block by block they say what they say of the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import sordino
from helpers.corpora import RATE
from helpers.speech import speech
from sordino.assets import STREAM_SUFFIX, student_file, students
from sordino.audio import sound_files
from sordino.inference.engine import Engine, open_engine
from sordino.inference.graphs.onnx_graph import open_graph
from sordino.inference.graphs.stream_graph import StreamGraph


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
    for phrase in (f"[hops,{hop}]", f"{delay} samples late", f"feed {delay} more zeros", f"{rate} Hz"):
        assert phrase in words
    returned: dict[str, str] = json.loads(about["state"])
    assert about["initial_state"] == "zeros"
    assert all(port in words for ports in returned.items() for port in ports)
    shapes = {one.name: one.shape for one in session.get_inputs()}
    state = {port: np.zeros(shapes[port], np.float32) for port in returned}
    noisy, parts = speech(rate + 77), []
    assert delay % hop == 0
    for block in np.pad(noisy, (0, -len(noisy) % hop + delay)).reshape(-1, 1, hop):
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
