"""Killed at any moment, what writes a corpus goes on when it is run again and ends as if it had never stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sordino.audio.sound_files import write

RATE, KILLS = 16000, 5

VERBS = {
    "prepare": "from sordino.data.tools.prepare import prepare\nprepare('noisy', out, 8000, workers=2)",
    "render": """from sordino.data import Mix
from sordino.data.tools.render import render
render(Mix('clean', 'noise', segment_s=0.5, valid_items=4), out, 40 / 3600, workers=2)""",
    "shard": """from sordino.data import Pairs
from sordino.data.tools.shard import shard
shard(Pairs('noisy', 'clean'), out, per_shard=3, workers=2)""",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    for number in range(60):
        clean, noise = (0.05 * rng.standard_normal((2, RATE))).astype(np.float32)
        name = f"s{number % 6}_{number}.wav"
        write(folder / "clean" / name, clean, RATE)
        write(folder / "noisy" / name, clean + noise, RATE)
        write(folder / "noise" / f"n{number}.wav", noise, RATE)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, hidden files too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(corpus: Path, verb: str, out: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", f"out = {str(out)!r}\n{VERBS[verb]}"]
    return subprocess.Popen(words, cwd=corpus, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_run_ends_as_one_that_was_not(corpus: Path, tmp_path: Path, verb: str) -> None:
    assert start(corpus, verb, tmp_path / "once").wait(120) == 0
    whole, out = files(tmp_path / "once"), tmp_path / "out"
    rng, killed = np.random.default_rng(), 0
    for stop in sorted(rng.integers(1, len(whole), KILLS)):
        process = start(corpus, verb, out)
        while process.poll() is None and len(list(out.rglob("*"))) < stop:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.01))
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        there = {name: content for name, content in files(out).items() if not Path(name).name.startswith(".")}
        assert there.items() <= whole.items()  # no file is half a file
    assert killed
    assert start(corpus, verb, out).wait(120) == 0
    assert files(out) == whole
