"""What a run writes into its folder, and goes on from: logs that end anywhere, states that are none, full disks."""

from __future__ import annotations

import json
import resource
import signal
from multiprocessing import Queue, get_context
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.noise import white
from helpers.recipes import SOUND, UNET, recipe, settings
from sordino import models
from sordino.audio.sound_files import write
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.experiments import run
from sordino.training import read_log
from sordino.training.log import Log
from sordino.training.state import STATE, load_state, save_state

VALUES = {"data": SOUND, "model": UNET, "loss": {"weighted": {}}, "train": settings(4)}


def _on_a_full_disk(folder: Path, messages: Queue[str]) -> None:
    """Save state, weights and log where writes beyond a few bytes fail, as they do on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    def log() -> None:
        with Log(folder) as writer:
            writer.write(1, {f"loss/{number}": 0.0 for number in range(50)})

    network = models.create("manner-s", hidden=2, depth=3)
    for work in (lambda: save_state(folder, {"step": 2}), lambda: models.save(network, folder / "best.safetensors")):
        with pytest.raises(InputError) as caught:
            work()
        messages.put(str(caught.value))
    messages.put(", ".join(path.name for path in folder.iterdir()))
    with pytest.raises(InputError) as caught:
        log()
    messages.put(str(caught.value))


def test_every_file_of_a_log_is_closed_though_one_cannot_be(tmp_path: Path) -> None:
    class Full:
        name = "log.jsonl"

        def close(self) -> None:
            raise OSError(28, "No space left on device")

    log = Log(tmp_path)
    first, second = log._files
    log._files[first].close()
    log._files[first] = Full()  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="the disk is full"), log:
        pass
    assert log._files[second].closed


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    # In a process of its own: the limit would end whoever writes the output of the tests into a file.
    context = get_context("fork")
    messages = context.Queue()
    process = context.Process(target=_on_a_full_disk, args=(tmp_path, messages))
    process.start()
    state, weights, left, log = (messages.get(timeout=60) for _ in range(4))
    process.join(60)
    assert process.exitcode == 0
    assert "state.pt: cannot be written" in state
    assert "best.safetensors: cannot be written" in weights
    assert left == ""
    assert "log.jsonl: cannot be written" in log
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100


def test_a_state_that_is_none_is_reported(tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"half a file")
    with pytest.raises(InputError, match="cannot be opened as weights alone"):
        load_state(tmp_path)


def test_unfinished_last_line_of_a_log_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "total": 2.0}) + '\n{"step": 2, "to')
    assert read_log(tmp_path) == [{"step": 1, "total": 2.0}]


def test_a_validation_that_the_state_does_not_know_of_is_recorded_once(tmp_path: Path) -> None:
    """A run may be killed between the record of a validation and the state that knows of it."""
    with Log(tmp_path) as log:
        log.write(8, {"total": 1.0})
        log.write(8, {"valid/score": 2.0})
    with Log(tmp_path, step=8, validated=4) as log:
        log.write(8, {"valid/score": 2.0})
    assert [sorted(record) for record in read_log(tmp_path)] == [["step", "total"], ["step", "valid/score"]]


def test_a_finished_run_without_its_state_is_not_written_over(tmp_path: Path) -> None:
    values, folder = VALUES, tmp_path / "run"
    run.train(values, out=folder)
    (folder / "state.pt").unlink()
    before = (folder / "last.safetensors").read_bytes(), (folder / "recipe.yaml").read_text()
    for resume in (False, True):
        with pytest.raises(InputError, match="holds the weights of a finished run"):
            run.train(values, [] if resume else ["train.seed=5"], out=folder, resume=resume)
    assert ((folder / "last.safetensors").read_bytes(), (folder / "recipe.yaml").read_text()) == before


def test_a_default_may_be_stated_when_a_run_is_resumed(tmp_path: Path) -> None:
    values = VALUES
    run.train(values, out=tmp_path / "run")
    assert run.train(values, ["train.ema=null", "train.min_lr=1e-5"], out=tmp_path / "run", resume=True).steps == 4


def test_a_state_that_no_longer_fits_the_code_is_one_line(tmp_path: Path) -> None:
    values, folder = VALUES, tmp_path / "run"
    run.train(values, out=folder)
    state = load_state(folder)
    state["student"].popitem()
    save_state(folder, state)
    with pytest.raises(InputError, match=r"state\.pt: does not fit the network and the methods as they are now"):
        run.train(values, out=folder, resume=True)


def test_a_longer_run_is_told_where_to_begin(tmp_path: Path) -> None:
    run.train(VALUES, out=tmp_path / "run")
    with pytest.raises(InputError, match=r"to train longer, begin a run with model\.checkpoint=.*last\.safetensors"):
        run.train(VALUES, ["train.steps=8"], out=tmp_path / "run", resume=True)


def test_a_run_that_made_nothing_better_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"name": "synthetic", "segment_s": 0.5, "valid_items": 2}
    values = VALUES | {"data": data, "model": {"checkpoint": "unet-24"}, "out": str(tmp_path / "run")}
    values |= {"train": settings(2, max_lr=1.0)}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    main(["train", str(tmp_path / "recipe.yaml")])
    output = capsys.readouterr().out
    assert "best at step 0" in output
    assert "these are the weights that the run began with" in output


def test_the_recipe_in_a_runs_folder_names_that_folder(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**VALUES, "out": str(tmp_path / "stated")}))
    run.train(path, out=tmp_path / "given")
    assert yaml.safe_load((tmp_path / "given" / "recipe.yaml").read_text())["out"] == str(tmp_path / "given")
    with pytest.raises(InputError, match="given: holds a run already"):
        run.train(tmp_path / "given" / "recipe.yaml")
    assert not (tmp_path / "stated").exists()


def test_other_recordings_are_noticed_when_a_run_is_resumed(tmp_path: Path) -> None:
    def mixed(noises: int) -> dict[str, Any]:
        for kind, count in (("clean", 8), ("noise", noises)):
            for index in range(count):
                write(tmp_path / kind / f"{kind}{index}.wav", white(16000, seed=index, level=0.1), 16000)
        data = {"name": "mix", "clean": str(tmp_path / "clean"), "noise": str(tmp_path / "noise"), "valid_items": 1}
        return VALUES | {"data": data | {"segment_s": 0.25, "epoch_size": 8}}

    run.train(mixed(8), out=tmp_path / "run")
    run.train(mixed(8), out=tmp_path / "run", resume=True)
    with pytest.raises(InputError, match=r"data: has other recordings: the run began with clean.*, which is clean"):
        run.train(mixed(12), out=tmp_path / "run", resume=True)


def test_methods_in_another_order_are_another_recipe(tmp_path: Path) -> None:
    values = recipe(tmp_path, distill={"fitnets": {}, "vid": {}}, stages=[])
    run.train(values, out=tmp_path / "run")
    turned = values | {"distill": dict(reversed(values["distill"].items()))}
    with pytest.raises(InputError, match="distill lists vid, fitnets, but the run began with fitnets, vid"):
        run.train(turned, out=tmp_path / "run", resume=True)
