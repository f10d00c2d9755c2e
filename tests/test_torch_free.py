"""The first tier as its users have it: installed by pip in an environment of its own, where there is no torch."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.fresh import copy_sources, fresh_python, install, install_oldest
from sordino.assets import SPEECH, student_file
from sordino.audio import sound_files

pytestmark = pytest.mark.slow  # to install

RATE = 48000
PROGRAM = """
import importlib.util, json, sys
import numpy as np, soundfile, sordino

noisy, rate = soundfile.read("noisy.wav", dtype="float32")
estimate = sordino.enhance(noisy.T, rate)
streamer = sordino.Streamer(sample_rate=rate, channels=2, low_delay=False)
parts = [streamer.feed(block) for block in np.array_split(noisy.T, 50, axis=1)]
streamed = np.concatenate([*parts, streamer.flush()], axis=1)
print(json.dumps({
    "torch": importlib.util.find_spec("torch") is not None,
    "place": sordino.__file__,
    "onnx": "onnx" in sys.modules,
    "apart": float(np.abs(streamed - estimate).max()),
    "changed": float(np.abs(estimate - noisy.T).max()),
}))
"""


@pytest.fixture(scope="module", params=["newest", "lowest"])
def python(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The interpreter of a fresh environment into which nothing but ``pip install .`` has put anything.

    It has the newest versions of what the package needs, or the oldest that it allows.
    """
    folder = tmp_path_factory.mktemp("fresh")
    python = fresh_python(folder)
    copy_sources(folder)
    if request.param == "newest":
        install(python, str(folder))
    else:
        install_oldest(python, folder)
    return python


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    clean, rate = sound_files.read(Path(str(SPEECH)), RATE)
    noise = np.random.default_rng(0).standard_normal((2, clean.shape[1])).astype(np.float32)
    sound_files.write(folder / "noisy.wav", clean + 0.02 * noise, rate, "FLOAT")
    return folder / "noisy.wav"


def sordino(python: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    # -I: neither the sources nor what PYTHONPATH names.
    return subprocess.run([str(python), "-I", "-m", "sordino", *words], stderr=subprocess.PIPE, **options)


def test_files_and_streams_are_enhanced_without_torch(python: Path, noisy: Path) -> None:
    folder = noisy.parent
    done = sordino(python, "enhance", "noisy.wav", "-o", "clean.wav", cwd=folder)
    assert done.returncode == 0, done.stderr
    with open(noisy, "rb") as source, open(folder / "streamed.wav", "wb") as target:
        done = sordino(python, "enhance", "--stream", "--no-low-delay", stdin=source, stdout=target, cwd=folder)
    assert done.returncode == 0, done.stderr
    clean, streamed = (sound_files.read(folder / name)[0] for name in ("clean.wav", "streamed.wav"))
    assert clean.shape == streamed.shape == sound_files.read(noisy)[0].shape
    np.testing.assert_allclose(streamed, clean, atol=1e-5)


def test_the_same_in_python(python: Path, noisy: Path) -> None:
    words = [str(python), "-I", "-c", PROGRAM]
    done = subprocess.run(words, cwd=noisy.parent, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert not answer["torch"]
    assert not answer["onnx"]
    assert str(python.parents[1]) in answer["place"]
    assert answer["apart"] < 1e-5 < 1e-2 < answer["changed"]


def test_a_student_that_ships_is_shown_and_exported(python: Path, tmp_path: Path) -> None:
    shown = sordino(python, "models", "unet-24", cwd=tmp_path, stdout=subprocess.PIPE)
    assert shown.stdout.decode().startswith("# unet-24")
    done = sordino(python, "export", "unet-24", "-o", "student.onnx", cwd=tmp_path, stdout=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    for suffix in (".onnx", ".stream.onnx"):
        assert (tmp_path / f"student{suffix}").read_bytes() == student_file("unet-24", suffix).read_bytes()


NEED_TORCH = (
    ["enhance", "noisy.wav", "-o", "clean.wav", "--model", "best.safetensors"],
    ["enhance", "--stream", "--model", "best.pt"],
    ["new", "my"],
    ["export", "best.safetensors", "-o", "student.onnx"],
    ["export", "unet-24", "-o", "student.onnx", "--licence", "MIT"],
    ["train", "unet/student"],
)


@pytest.mark.parametrize("words", NEED_TORCH, ids=" ".join)
def test_what_needs_torch_says_so_in_one_line(python: Path, tmp_path: Path, words: list[str]) -> None:
    given = {tmp_path / name for name in ("best.safetensors", "best.pt", "noisy.wav")}
    for path in given:
        sound_files.write(path.with_suffix(".wav"), np.zeros((1, 16000), np.float32), 16000)
        path.with_suffix(".wav").replace(path)
    with open(tmp_path / "noisy.wav", "rb") as noisy:
        done = sordino(python, *words, cwd=tmp_path, stdin=noisy)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert "pip install 'sordino[train]'" in line
    assert set(tmp_path.iterdir()) == given


IMPORT_ALL = """
from sordino import *
assert callable(enhance) and not hasattr(__import__("sordino"), "load")
try:
    evaluate("dualpath-24", [], metrics=["pesq_wb"])
except ValueError as error:
    print(error)
"""


def test_all_names_are_imported_and_scores_say_what_they_need(python: Path, tmp_path: Path) -> None:
    done = subprocess.run([str(python), "-I", "-c", IMPORT_ALL], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "pesq_wb: needs the package pesq; run pip install pesq\n"
