"""Killed at any moment, what writes a corpus goes on when it is run again and ends as if it had never stopped."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from helpers.ranks import PATIENCE_S, copies
from sordino.audio.sound_files import write
from sordino.data.sources import Mix, Pairs
from sordino.data.tools.prepare import prepare
from sordino.data.tools.render import render
from sordino.data.tools.shard import shard

RATE = 16000

VERBS: dict[str, Callable[[str], object]] = {
    "prepare": lambda out: prepare("noisy", out, 8000, workers=1),
    "render": lambda out: render(Mix("clean", "noise", segment_s=0.5, valid_items=4), out, 40 / 3600, workers=1),
    "shard": lambda out: shard(Pairs("noisy", "clean"), out, per_shard=3, workers=2),
}
KILLS = {"prepare": 3, "render": 3, "shard": 2}
"""How often each is killed; one that works in processes of its own takes seconds to start them."""


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


def work(corpus: Path, verb: str, out: Path) -> None:
    os.chdir(corpus)
    VERBS[verb](str(out))


def start(corpus: Path, verb: str, out: Path) -> BaseProcess:
    process = copies().Process(target=work, args=(corpus, verb, out))
    process.start()
    return process


def end(process: BaseProcess) -> int | None:
    process.join(PATIENCE_S)
    return process.exitcode


@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_run_ends_as_one_that_was_not(corpus: Path, tmp_path: Path, verb: str) -> None:
    assert end(start(corpus, verb, tmp_path / "once")) == 0
    whole, out = files(tmp_path / "once"), tmp_path / "out"
    rng, killed = np.random.default_rng(len(verb)), 0
    for stop in sorted(rng.integers(1, len(whole), KILLS[verb])):
        process = start(corpus, verb, out)
        while process.is_alive() and len(list(out.rglob("*"))) < stop:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.01))
        process.kill()
        killed += end(process) == -signal.SIGKILL
        there = {name: content for name, content in files(out).items() if not Path(name).name.startswith(".")}
        assert there.items() <= whole.items()  # no file is half a file
    assert killed
    assert end(start(corpus, verb, out)) == 0
    assert files(out) == whole
