"""Bad moments of a run: a signal, a worker that is killed, a recording that is cut, weights that diverge."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np
import pytest
import torch
import torch.utils.data._utils as loading
import yaml

from helpers.processes import alive
from helpers.ranks import PATIENCE_S, copies
from helpers.recipes import SOUND, UNET, settings
from sordino.audio.sound_files import write
from sordino.data.recordings import Recordings
from sordino.distributed import stop_on
from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.experiments import run, study
from sordino.experiments.run_recipe import RECIPE
from sordino.files import atomic
from sordino.report.pages.drawing import standalone
from sordino.training import judge, read_log
from sordino.training.divergence import GOOD, Diverged
from sordino.training.judge import Judge
from sordino.training.state import STATE, load_state


def recipe(steps: int, **train: Any) -> dict[str, Any]:
    return {"data": SOUND, "model": UNET, "train": settings(steps, select="si_sdr_db", **train)}


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The scores of the validations to come, by SI-SDR; the noisy input has 0 dB."""
    coming: list[float] = []
    noisy = Scores([{"id": "a", "si_sdr_db": 0.0}], ("si_sdr_db",))
    monkeypatch.setattr(Judge, "scores", lambda _: dict.fromkeys(("si_sdr_db", "score"), coming.pop(0)))
    monkeypatch.setattr(judge, "validate", lambda *_: noisy)
    return coming


@pytest.fixture
def handlers() -> Iterator[None]:
    """Set the handlers of signals back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_terminated_command_leaves_nothing_half_written(tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_on((signal.SIGTERM, signal.SIGHUP))
    os.kill(os.getpid(), signal.SIGHUP)  # ignored, as below nohup

    def work() -> None:
        with atomic(tmp_path / "sound.wav") as temporary:
            temporary.write_bytes(b"RIFF")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_data_worker_is_named_with_its_item_and_the_run_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: list[float]
) -> None:
    monkeypatch.setattr(loading, "MP_STATUS_CHECK_INTERVAL", 0.2)
    parent, chld = os.getpid(), signal.getsignal(signal.SIGCHLD)

    def kill_workers(_task: str, done: int, _total: int, _numbers: Mapping[str, float]) -> None:
        for status in Path("/proc").glob("[0-9]*/stat") if done == 6 else ():
            if status.read_text().rpartition(")")[2].split()[1] == str(parent):
                command = (status.parent / "cmdline").read_bytes()
                if b"resource_tracker" not in command and b"forkserver" not in command:
                    os.kill(int(status.parent.name), signal.SIGKILL)

    values = recipe(20, workers=1, validate_every=20, save_every=20)
    with pytest.raises(InputError, match=r"^data worker 0 \(process \d+\), at item \d+ of epoch 0: was killed"):
        run.train(values, out=tmp_path, progress=kill_workers)
    assert load_state(tmp_path)["step"] >= 6
    assert signal.getsignal(signal.SIGCHLD) is chld
    scores.append(1.0)
    assert run.train(values, ["train.workers=0"], out=tmp_path, resume=True).steps == 20


def test_a_recording_that_is_cut_while_a_run_reads_it_is_named(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write(tmp_path / name, 0.1 * np.ones(16000, np.float32), 16000)
    recordings = Recordings([tmp_path / "a.wav", tmp_path / "b.wav"], 16000)
    os.truncate(tmp_path / "b.wav", 16044)
    assert len(recordings.read(0, 15000, 2000)) == 1000
    assert len(recordings.read(1, 0, 8000)) == 8000
    with pytest.raises(InputError, match=r"b\.wav: was 1\.00 s long when the run began, and is 0\.50 s now"):
        recordings.read(1, 7000, 2000)


def test_a_run_that_diverges_goes_back_to_its_last_good_state_and_on_as_advised(
    tmp_path: Path, scores: list[float]
) -> None:
    scores += [3.0]
    wild = recipe(8, max_lr=1e30, validate_every=2, save_every=1, schedule="constant", warmup_steps=None)
    calm = recipe(8, max_lr=1e-4, validate_every=2, save_every=1, schedule="constant", warmup_steps=None)

    def stop_after_three(_task: str, done: int, _total: int, _numbers: Mapping[str, float]) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run.train(calm, out=tmp_path, progress=stop_after_three)
    with pytest.raises(InputError, match=r"loss\.snr is"):
        run.train({**calm, "loss": {"snr": {}}}, out=tmp_path, resume=True)
    scores += [float("-inf")] * 3
    with pytest.raises(Diverged, match=r"expected a finite loss; the state is the last good one again, that of step 2"):
        run.train(wild, out=tmp_path, resume=True)
    assert load_state(tmp_path)["step"] == 2
    assert all(value.isfinite().all() for value in load_state(tmp_path)["student"].values())
    scores[:] = [4.0, 5.0, 6.0]
    assert run.train(calm, ["train.grad_clip=1.0"], out=tmp_path, resume=True).best_score == 6.0
    assert yaml.safe_load((tmp_path / RECIPE).read_text())["train"]["grad_clip"] == 1.0
    rates = [record["lr"] for record in read_log(tmp_path) if "lr" in record]
    assert rates == pytest.approx([1e-4] * 8)
    assert not (tmp_path / GOOD).exists()


def test_a_validation_below_the_noisy_input_is_reported_and_can_be_left_behind(
    tmp_path: Path, scores: list[float]
) -> None:
    values, messages = recipe(8, validate_every=2), []
    scores += [3.0, -9.0, -1.0, -2.0]  # at steps 2, 4, 6 and 8, of which 2 warm up
    run.train(values, out=tmp_path, status=messages.append)
    messages = [line for line in messages if "below the noisy input" in line]
    assert len(messages) == 1
    assert "validation at step 4 is below the noisy input, and below that at step 2" in messages[0]
    assert load_state(tmp_path)["step"] == 8
    scores += [1.0, 2.0, 3.0]
    assert run.train(values, ["train.max_lr=1e-4"], out=tmp_path, resume=True).steps == 8
    assert scores == []  # it went on from step 2, and was validated three times


def test_a_wrong_metric_is_reported_before_the_runs_of_a_study(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe(2)))
    plan = {"recipe": "recipe.yaml", "out": str(tmp_path / "out"), "methods": {"none": {}}, "metrics": ["pesq_vb"]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plan))
    with pytest.raises(InputError, match="pesq_vb"):
        study.run(tmp_path / "study.yaml")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("title", ["$x", r"$\frac{", "a_b^", "[/x]", "\x00\x07", "\ud800", "<script>&"])
def test_a_title_is_text_whatever_it_holds(title: str) -> None:
    drawn = standalone(lambda figure: figure.subplots().set_title(title) and None, title, (3, 2))
    assert minidom.parseString(drawn)


def _study(folder: Path) -> None:
    os.setsid()
    stop_on((signal.SIGTERM,))
    torch.set_num_threads(1)
    study.run(folder / "study.yaml")


@pytest.mark.slow
def test_a_study_that_is_terminated_ends_and_saves_its_runs(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe(100_000, validate_every=100_000)))
    plan = {"recipe": "recipe.yaml", "out": str(tmp_path / "out"), "methods": {"none": {}}, "seeds": [0, 1], "jobs": 2}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plan))
    process = copies().Process(target=_study, args=(tmp_path,))  # pyright: ignore[reportAttributeAccessIssue]
    process.start()
    assert process.pid is not None
    folders = [tmp_path / "out" / "all" / "none" / f"seed-{seed}" for seed in (0, 1)]
    until = time.monotonic() + PATIENCE_S
    while not all(read_log(folder) for folder in folders) and time.monotonic() < until:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode not in (None, 0)
    assert all((folder / STATE).is_file() for folder in folders)
    until = time.monotonic() + PATIENCE_S
    while left := alive(process.pid):  # the last of them is just ending
        assert time.monotonic() < until, left
        time.sleep(0.1)
