"""The wheel as users get it: built from the source archive, whole, and installed alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import sordino
from helpers.fresh import ROOT, copy_sources, fresh_python, install
from helpers.noise import hiss
from helpers.shared import once
from helpers.videos import record
from sordino.assets import students
from sordino.audio.sound_files import read

pytestmark = pytest.mark.slow

PROGRAM = """
import importlib.util, soundfile, sordino
assert importlib.util.find_spec("torch") is None
noisy, rate = soundfile.read("noisy.wav", dtype="float32")
estimate = sordino.enhance(noisy, rate)
written, _ = soundfile.read("clean.wav", dtype="float32")
assert abs(estimate - written).max() < 1e-3 < abs(estimate - noisy).max()
print(sordino.__version__)
"""


def build(folder: Path) -> None:
    pytest.importorskip("build", reason="needs the package build")
    copy_sources(folder)
    words = [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode and "No matching distribution" in done.stdout + done.stderr:
        pytest.skip("pip reaches no package index")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def wheel(kept: Path) -> Path:
    (path,) = (once(kept / "wheel", build) / "dist").glob("*.whl")
    return path


def test_the_wheel_holds_every_file_of_the_package_and_its_version(wheel: Path) -> None:
    package = ROOT / "src" / "sordino"
    files = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        version = message_from_bytes(archive.read(about))["Version"]
    assert held == files
    assert version == sordino.__version__


def test_the_source_archive_holds_all_that_its_tests_need(tmp_path: Path) -> None:
    pytest.importorskip("build", reason="needs the package build")
    folders = ("src", "tests", "docs", "examples", "benchmarks")
    files = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "Makefile", "README.md", "constraints.txt")
    for name in folders:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in (*files, "mkdocs.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    here = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    words = [sys.executable, "-m", "build", "--sdist", "--outdir", str(tmp_path / "dist"), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode and "No matching distribution" in done.stdout + done.stderr:
        pytest.skip("pip reaches no package index")
    (path,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert here - held == set()


def test_the_wheel_alone_enhances(wheel: Path, tmp_path: Path) -> None:
    python = fresh_python(tmp_path)
    install(python, str(wheel))

    def run(*words: str) -> str:
        done = subprocess.run([str(python), "-I", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-c", "import numpy, soundfile; soundfile.write('noisy.wav', 0.1 * numpy.random.randn(32000), 16000)")
    shown = run("-m", "sordino", "models")
    assert all(name in shown for name in students())
    run("-m", "sordino", "enhance", "noisy.wav", "-o", "clean.wav")
    run("-m", "sordino", "export", students()[0], "-o", "student.onnx")
    run("-m", "sordino", "enhance", "noisy.wav", "-o", "again.wav", "--model", "student.onnx")
    assert (tmp_path / "again.wav").read_bytes() == (tmp_path / "clean.wav").read_bytes()
    assert run("-c", PROGRAM).strip() == sordino.__version__
    install(python, f"{wheel}[media]")
    record(tmp_path / "video.mp4", "aac", 48000, hiss(1.0, rate=48000)[None], pictures=5)
    run("-m", "sordino", "enhance", "video.mp4", "-o", "video.wav")
    (noisy, rate), (clean, same_rate) = (read(tmp_path / name) for name in ("video.mp4", "video.wav"))
    assert (rate, noisy.shape) == (same_rate, clean.shape) == (48000, clean.shape)
