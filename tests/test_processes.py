"""Many processes are one: the same weights, the same scores; and they end together."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from helpers.corpora import write_pairs
from helpers.noise import white
from helpers.ranks import PATIENCE_S, RANKS, begin, finish, srun_says
from helpers.recipes import SOUND, settings
from sordino import distributed, models
from sordino.audio import sound_files
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.experiments import run
from sordino.training import read_log
from sordino.training.state import STATE

# Runs


def recipe(folder: Path, **train: Any) -> Path:
    """A student without batch norm, distilled by items compared with each other, in two stages, partly unlabelled."""
    torch.manual_seed(1)
    models.save(models.create("demucs", hidden=6, depth=3), folder / "teacher.safetensors")
    for index in range(3):
        sound_files.write(folder / "noisy" / f"{index}.wav", white(16000, seed=index), 16000)
    craft: dict[str, Any] = {"ema": 0.9, "optimizer": "adamw", "select": {"estoi": 1.0, "si_sdr_db": 0.1}}
    craft |= {"validate_items": 2, "save_every": 2, "grad_clip": 1.0}
    values = {
        "data": {**SOUND, "epoch_size": 10},
        "unlabelled": {"noisy": str(folder / "noisy"), "share": 0.4},
        "model": {"name": "demucs", "hidden": 4, "depth": 3},
        "teacher": {"checkpoint": str(folder / "teacher.safetensors")},
        "distill": {"similarity": {}, "fitnets": {"norm": False}, "bounded": {}},
        "weights": {"kd/similarity": {"balance": 0.5, "every": 3}},
        "stages": [{"share": 0.5, "weights": {"kd/fitnets": 0}}, {"reset": True}],
        "train": settings(6, **{**craft, **train}),
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def torchrun(*words: object) -> subprocess.Popen[str]:
    """``sordino`` with ``words`` in two processes."""
    module = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}", "-m", "sordino"]
    where = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)]),
    }
    return subprocess.Popen(
        [sys.executable, *module, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=where,
        cwd=Path(__file__).parent,
    )


def ended(running: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    """What a run wrote, which must leave with ``code``."""
    try:
        out, err = running.communicate(timeout=PATIENCE_S)
    finally:
        running.kill()
    assert running.returncode == code, err
    return out, err


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "last.safetensors")


def train(_rank: int, path: Path, out: Path) -> None:
    run.train(path, out=out)


def test_two_processes_train_to_the_weights_of_one_with_twice_the_batch(tmp_path: Path) -> None:
    path = recipe(tmp_path)
    started = begin(train, path, tmp_path / "two")
    alone = run.train(path, ["train.batch_size=4"], out=tmp_path / "one")
    finish(started)
    one, two = (torch.load(tmp_path / name / STATE) for name in ("one", "two"))
    assert one["step"] == two["step"] == 6
    begun = models.create("demucs", hidden=4, depth=3).state_dict()
    for part in ("student", "objective"):
        assert one[part].keys() == two[part].keys()
        for name, wanted in one[part].items():
            # Sums in another order differ by rounding, which Adam magnifies: 2 % of the highest learning rate.
            torch.testing.assert_close(two[part][name], wanted, rtol=1e-3, atol=2e-5, msg=f"{part} {name}")
    assert one["student"].keys() == begun.keys()
    for first, second in zip(read_log(tmp_path / "one"), read_log(tmp_path / "two"), strict=True):
        assert first.keys() == second.keys()
        figures = [name for name in first if name != "seconds"]
        assert [second[name] for name in figures] == pytest.approx(
            [first[name] for name in figures], rel=1e-3, abs=1e-4
        )

    # Stopped at some step by a signal to one of the two, and resumed: the same bits, and the answer is printed once.
    words = ("train", str(path), "--out", str(tmp_path / "cut"), "--json")
    cut = begin(say, tmp_path, *words)
    until = time.monotonic() + PATIENCE_S
    while len(read_log(tmp_path / "cut")) < 2 and cut[1].is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(cut[1].pid or 0, signal.SIGINT)
    finish(cut, code=130)
    assert 2 <= torch.load(tmp_path / "cut" / STATE)["step"] < 6
    with pytest.raises(InputError, match=r"a run of 2 process\(es\), resumed by 1"):
        run.train(path, out=tmp_path / "cut", resume=True)
    finish(begin(say, tmp_path, *words, "--resume"))
    assert (tmp_path / "1.out").read_text() == ""
    answer = json.loads((tmp_path / "0.out").read_text())
    assert answer["steps"] == alone.steps == 6
    assert answer["valid"] == pytest.approx(alone.valid, rel=1e-3, abs=1e-3)
    resumed, whole = weights(tmp_path / "cut"), weights(tmp_path / "two")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def falls_silent(noisy: Any) -> Any:
    """A teacher that fails in one process."""
    if distributed.rank() == 1:
        raise InputError("teacher", "has failed in the second process")
    return 0.5 * noisy


@pytest.mark.slow
def test_an_error_in_one_process_ends_all(tmp_path: Path) -> None:
    changes = ["teacher.callable=test_processes:falls_silent", "unlabelled=null", "stages=null", "weights=null"]
    changes += ["distill.similarity=null", "distill.fitnets=null"]
    running = torchrun("train", recipe(tmp_path), *changes, "--out", tmp_path / "run")
    _, err = ended(running, code=1)
    assert "sordino: teacher: has failed in the second process" in err
    assert not (tmp_path / "run" / "last.safetensors").exists()


def say(rank: int, folder: Path, *words: str) -> None:
    """Run the command line, whose answer goes to a file, and what it tells on the way to another."""
    answer, errors = (folder / f"{rank}.out").open("w"), (folder / f"{rank}.err").open("w")
    with answer, errors, contextlib.redirect_stdout(answer), contextlib.redirect_stderr(errors):
        main(words)


def test_a_dry_run_tries_all_processes(tmp_path: Path) -> None:
    dry_run = tmp_path.with_name(f"{tmp_path.name}-dry-run")
    dry_run.mkdir()
    path = recipe(tmp_path)
    before = {one.name for one in tmp_path.iterdir()}
    finish(begin(say, dry_run, "train", str(path), "--dry-run", "--json"))
    assert json.loads((dry_run / "0.out").read_text())["steps"] == 6
    assert (dry_run / "1.out").read_text() == ""
    assert [(dry_run / f"{rank}.err").read_text().count("trying a few steps") for rank in range(RANKS)] == [1, 0]
    assert {one.name for one in tmp_path.iterdir()} == before


def test_an_evaluation_shares_out_its_files(tmp_path: Path) -> None:
    """Launched as by SLURM; 5 recordings over 2 processes, one of which no metric can score."""
    folders = write_pairs(tmp_path, speakers=5, each=1)
    sound_files.write(tmp_path / "clean" / "s2_0.wav", np.zeros(19200, np.float32), 16000)
    wanted = run.evaluate("noisy", folders, metrics=["pesq_wb", "si_sdr_db"], out=tmp_path / "one", workers=0)
    words = ["evaluate", "noisy", "--data", *folders, "--out", str(tmp_path / "two"), "--workers", "0", "--json"]
    words += ["--metrics", "pesq_wb", "si_sdr_db"]
    finish(begin(say, tmp_path, *words, says=srun_says))
    first, second = ((tmp_path / f"{rank}.out").read_text() for rank in range(RANKS))
    assert json.loads(first)["rows"] == wanted.rows
    assert json.loads(first)["summary"]["pesq_wb"] == wanted.summary()["pesq_wb"]._asdict()
    assert len(wanted.rows) == 5
    assert {failure.id for failure in wanted.failures} == {wanted.rows[2]["id"]}
    assert second == ""
    for name in ("scores.json", "scores.csv"):
        assert (tmp_path / "one" / name).read_text() == (tmp_path / "two" / name).read_text()


# What a launcher says


def test_a_launch_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "8")  # in a batch script, before any srun
    assert distributed.launched() == (1, 1)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "32")
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "4")
    assert distributed.launched() == (8, 4)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "7")
    with pytest.raises(InputError, match="7 tasks on 4 nodes; expected as many on each"):
        distributed.launched()


def test_synchronised_batch_norm_needs_gpus(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.sync_batch_norm: PyTorch has no such batch norm on cpu"):
        run.train(recipe(tmp_path, sync_batch_norm=True), out=tmp_path / "run")
