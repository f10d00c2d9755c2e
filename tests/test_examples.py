"""The examples in other languages give the samples of ``sordino.Streamer``, from the graph's file alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import sordino
from helpers.noise import white
from sordino.assets import DEFAULT_STUDENT, STUDENTS

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RATE = 16000
CLOSE = 1e-4
pytestmark = pytest.mark.slow  # they compile, and start programs


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the C++ example, compiled here.

    onnxruntime's headers and library are those that pkg-config finds, or those in the folder ``ONNXRUNTIME``, which has
    ``include`` and ``lib`` as the archives of its releases have.
    """
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    folder = os.environ.get("ONNXRUNTIME")
    flags = [f"-I{folder}/include", f"-L{folder}/lib", "-lonnxruntime", f"-Wl,-rpath,{folder}/lib"]
    if folder is None:
        if shutil.which("pkg-config") is None:
            pytest.skip("needs pkg-config, or onnxruntime's C++ files in the folder ONNXRUNTIME")
        found = subprocess.run(["pkg-config", "--cflags", "--libs", "libonnxruntime"], capture_output=True, text=True)
        if found.returncode:
            pytest.skip("needs libonnxruntime-dev, or onnxruntime's C++ files in the folder ONNXRUNTIME")
        flags = found.stdout.split()
    program = tmp_path_factory.mktemp("compiled") / "stream"
    warnings = ["-Wall", "-Wextra", "-Werror"]
    command = ["g++", "-std=c++17", *warnings, str(EXAMPLES / "stream.cpp"), "-o", str(program), *flags]
    subprocess.run(command, check=True)
    return [str(program)]


@pytest.fixture(scope="module")
def scripted() -> list[str]:
    """The command of the JavaScript example; onnxruntime-node is installed beside it, or in a folder of NODE_PATH."""
    if shutil.which("node") is None:
        pytest.skip("needs node")
    asked = subprocess.run(["node", "-e", "require('onnxruntime-node')"], cwd=EXAMPLES, capture_output=True)
    if asked.returncode:
        pytest.skip("needs onnxruntime-node: npm install --no-save onnxruntime-node, in examples/")
    return ["node", str(EXAMPLES / "stream.js")]


def streamed(command: Sequence[str], graph: Path, noisy: np.ndarray) -> np.ndarray:
    done = subprocess.run([*command, str(graph)], input=noisy.tobytes(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.float32)


@pytest.mark.parametrize("example", ["compiled", "scripted"])
def test_an_example_gives_the_samples_of_the_streamer(example: str, request: pytest.FixtureRequest) -> None:
    command = request.getfixturevalue(example)
    for student in (DEFAULT_STUDENT, "unet-24"):
        streamer = sordino.Streamer(student)
        # Lengths within a hop, of whole hops, and of neither.
        for samples in (0, 100, 3200, 2 * RATE + 77):
            noisy = white(samples, seed=samples)
            streamer.reset()
            expected = np.concatenate([streamer.feed(noisy), streamer.flush()])
            found = streamed(command, Path(str(STUDENTS / f"{student}.stream.onnx")), noisy)
            assert found.shape == expected.shape
            assert np.abs(found - expected).max(initial=0) < CLOSE
            assert samples < RATE or np.abs(expected).max() > 100 * CLOSE


@pytest.mark.parametrize("example", ["compiled", "scripted"])
def test_an_example_fails_on_a_file_that_is_no_graph(
    example: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = tmp_path / "none.onnx"
    path.write_bytes(b"no graph")
    done = subprocess.run([*request.getfixturevalue(example), str(path)], input=b"", capture_output=True, timeout=120)
    assert done.returncode == 1
    assert done.stdout == b""
