"""Environments of their own, into which pip installs the package as users have it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def fresh_python(folder: Path) -> Path:
    """The interpreter of a new environment below ``folder`` with nothing in it; skips without an index."""
    venv.create(folder / "venv")
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if pip(python, "download", "--no-deps", "--retries", "0", "--timeout", "10", "--dest", str(folder), "soxr"):
        pytest.skip("pip reaches no package index")
    return python


def install(python: Path, *words: str) -> None:
    """Run ``pip install``, which must succeed."""
    failed = pip(python, "install", *words)
    assert not failed, failed


def pip(python: Path, command: str, *words: str) -> str:
    """Run a command of pip; returns what it says where it fails.

    It is the pip of this environment: to put one into each new environment takes as long as what is installed there.
    """
    start = [sys.executable, "-I", "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    start += [command, "--quiet"]
    start += ["--no-compile"] if command == "install" else []
    done = subprocess.run([*start, *words], capture_output=True, text=True)
    return done.stderr or "failed" if done.returncode else ""


def install_oldest(python: Path, folder: Path, extra: str = "") -> None:
    """Install the sources in ``folder`` with the oldest versions that they allow; skips where those have no wheels.

    Args:
        python: interpreter of the environment.
        folder: in which ``copy_sources`` put them.
        extra: of the project's optional dependencies, such as ``train``.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    stated = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    oldest = folder / "oldest.txt"
    oldest.write_text("\n".join(line.replace(">=", "==") for line in stated))
    wheels = [] if extra else ["--only-binary=:all:"]  # pesq, which extra tiers need, has none
    failed = pip(
        python, "install", f"{folder}[{extra}]" if extra else str(folder), *wheels, "--constraint", str(oldest)
    )
    if "No matching distribution" in failed:
        pytest.skip(f"the oldest versions have no wheels for this Python: {failed.splitlines()[-1]}")
    assert not failed, failed


def copy_sources(folder: Path) -> None:
    """Copy what a build needs, as building leaves folders beside the sources."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
