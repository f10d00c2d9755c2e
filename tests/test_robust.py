"""Runs that are killed at any moment: what they leave behind is whole, and the rerun ends as if nothing had been."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing import set_start_method
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.processes import alive
from helpers.ranks import PATIENCE_S, copies
from helpers.recipes import MANNER, settings
from helpers.runs import same_weights, timeless
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.run_recipe import RECIPE
from sordino.files import atomic, sweep
from sordino.training import read_log
from sordino.training.state import LAST, STATE

STEPS = 12
KILLS = (0, 3, 6, 9)
"""Records in the log after which, and a random moment more, the run is killed; 6 are followed by a validation."""

VALUES: dict[str, Any] = {
    "data": {"name": "synthetic", "segment_s": 0.3},
    "model": MANNER,
    "train": settings(STEPS, workers=1, validate_every=6, save_every=1),
}


def train(folder: Path) -> None:
    """What a user types again and again: with ``--resume`` as soon as there is a run to go on with."""
    os.setsid()  # so that all its helpers can be found
    set_start_method("fork", force=True)  # of loaders, as in a process that a user starts
    torch.set_num_threads(1)
    run.train(VALUES, out=folder, resume=(folder / RECIPE).exists())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_run_that_is_killed_again_and_again_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    context, chance = copies(), random.Random(0)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run.train(VALUES, out=whole)
    for records in KILLS:
        running = context.Process(target=train, args=(cut,))
        running.start()
        assert running.pid is not None
        until = time.monotonic() + PATIENCE_S
        while len(read_log(cut)) < records and running.is_alive() and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
        os.kill(running.pid, signal.SIGKILL)
        running.join()
        assert running.exitcode == -signal.SIGKILL
        while alive(running.pid) and time.monotonic() < until:
            time.sleep(0.05)
        assert not alive(running.pid)  # neither loaders nor metrics outlive it
    running = context.Process(target=train, args=(cut,))
    running.start()
    running.join(PATIENCE_S)
    assert running.exitcode == 0

    assert timeless(cut) == timeless(whole)
    for name in ("last.safetensors", "best.safetensors"):
        assert same_weights(cut, whole, name)
    assert {path.name for path in cut.iterdir()} == {path.name for path in whole.iterdir()}  # and nothing half written


def test_a_run_killed_before_its_first_save_begins_anew(tmp_path: Path) -> None:
    run.train(VALUES, ["train.steps=2"], out=tmp_path)
    for name in (STATE, LAST):
        (tmp_path / name).unlink()
    assert run.train(VALUES, ["train.steps=2"], out=tmp_path, resume=True).steps == 2


def test_what_a_killed_writer_leaves_is_swept_up(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_text("before")
    (tmp_path / ".hidden").write_text("somebody's")
    (tmp_path / ".notes.part-1.txt").write_text("somebody's")
    writing = atomic(tmp_path / "state.pt")
    writing.__enter__().write_text("half")  # and never left
    assert len(list(tmp_path.iterdir())) == 4
    sweep(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "state.pt": "before",
        ".hidden": "somebody's",
        ".notes.part-1.txt": "somebody's",
    }


def test_who_writes_a_file_alone_removes_what_a_killed_writer_left_of_it(tmp_path: Path) -> None:
    writing = [atomic(tmp_path / name) for name in ("student.onnx", "other.onnx")]
    for writer in writing:
        writer.__enter__()  # and never left
    with atomic(tmp_path / "student.onnx", alone=True) as temporary:
        temporary.write_text("whole")
    assert sorted(path.name[:6] for path in tmp_path.iterdir()) == [".other", "studen"]


def test_one_folder_holds_one_run_at_a_time_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from sordino.training.state import held\n"
    code += "with held(Path(sys.argv[1])): print('held'); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-uc", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    (tmp_path / "recipe.yaml").write_text("that of the other run")
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another run is at work there"):
            run.train(VALUES, ["train.steps=1"], out=tmp_path)
        other.kill()
    assert (tmp_path / "recipe.yaml").read_text() == "that of the other run"
    assert run.train(VALUES, ["train.steps=1"], out=tmp_path, resume=False).steps == 1
