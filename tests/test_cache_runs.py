"""Runs with a teacher's cache: equal to live ones, whole after a kill at any moment; and data whose draws return."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sordino import models
from sordino.data import sources
from sordino.data.loader import loader
from sordino.data.sources import SemiSupervised, Synthetic
from sordino.errors import InputError
from sordino.experiments import run
from sordino.training import read_log
from sordino.training.state import STATE


def answers(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.name: load_file(path) for path in sorted(folder.glob("??/[!.]*.safetensors"))}


def never(_path: str) -> None:
    raise AssertionError("the teacher was loaded")


# The draws


def test_draws_of_items_come_back_in_another_order() -> None:
    segments = sources.FixedAugmentation(Synthetic(segment_s=0.25, epoch_size=6, tempo=(0.9, 1.1)), 2).train(0)
    assert np.array_equal(segments[0, 3].noisy, segments[2, 3].noisy)
    assert np.array_equal(segments[1, 3].noisy, segments[5, 3].noisy)
    assert not np.array_equal(segments[0, 3].noisy, segments[1, 3].noisy)
    orders = [[id for batch in loader(segments, 2, 0, epoch) for id in batch.ids] for epoch in (0, 2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_draws_of_partly_labelled_data_come_back_too(tmp_path: Path) -> None:
    Synthetic(segment_s=0.25).write(tmp_path)
    source = SemiSupervised(Synthetic(segment_s=0.25, epoch_size=4), str(tmp_path / "test" / "noisy"), 0.5)
    segments = sources.FixedAugmentation(source, 3).train(0)
    assert len(segments) == 8
    for index in (0, 7):
        assert np.array_equal(segments[1, index].noisy, segments[4, index].noisy)
        assert not np.array_equal(segments[1, index].noisy, segments[2, index].noisy)


# Whole runs


def recipe(teacher: Path, cache: Path | None, **changes: Any) -> dict[str, Any]:
    """A tiny student on synthetic data: 4 batches an epoch, the draws of which come back in the third."""
    train = {"steps": 12, "batch_size": 2, "accelerator": "cpu", "workers": 0, "threads": 1, "log_every": 1}
    train |= {"validate_every": 12, "validate_items": 1, "save_every": 3}
    section: dict[str, Any] = {"checkpoint": str(teacher)}
    return {
        "data": {"name": "synthetic", "segment_s": 0.5, "epoch_size": 8, "tempo": [0.9, 1.1]},
        "model": {"name": "manner-s", "hidden": 2, "depth": 3},
        "teacher": section | ({} if cache is None else {"cache": str(cache), "draws": 2}),
        "loss": {"weighted": {}},
        "distill": {"mvat": {}, "fitnets": {}},
        "weights": {"kd/mvat": 0.01},
        "train": train,
        **changes,
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    torch.manual_seed(1)
    models.save(models.create("manner-b", hidden=6, depth=4), path)
    return path


def logged(folder: Path) -> list[dict[str, float]]:
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read_log(folder)]


def same_weights(one: Path, other: Path) -> bool:
    mine, theirs = load_file(one / "last.safetensors"), load_file(other / "last.safetensors")
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_run_with_a_cache_is_the_live_run_and_the_next_one_needs_no_teacher(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, messages = tmp_path / "cache", []

    def listen(line: str) -> None:
        messages.append((line, cache.exists()))

    run.train(recipe(checkpoint, cache), out=tmp_path / "first", status=listen)
    message, written = messages[0]
    assert "has 0 of 16 answers" in message
    assert not written
    assert len(answers(cache)) == 16
    run.train(recipe(checkpoint, None), out=tmp_path / "live")
    # Two epochs are the same but for half precision, which each step of Adam carries on; from then on, the live run has
    # new draws.
    for step, (ours, theirs) in enumerate(zip(logged(tmp_path / "first")[:8], logged(tmp_path / "live"), strict=False)):
        assert ours == pytest.approx(theirs, rel=3e-4 if step == 0 else 3e-3)
    monkeypatch.setattr(models, "load", never)
    run.train(recipe(checkpoint, cache), out=tmp_path / "second")
    assert same_weights(tmp_path / "first", tmp_path / "second")
    assert logged(tmp_path / "first") == logged(tmp_path / "second")


def test_partly_labelled_data_are_cached_too(tmp_path: Path, checkpoint: Path) -> None:
    Synthetic(segment_s=0.5).write(tmp_path / "corpus")
    more = {"noisy": str(tmp_path / "corpus" / "test" / "noisy"), "share": 0.5}
    changes = {"unlabelled": more, "distill": {"bounded": {}, "output": {}}, "weights": {}}
    for name, cache in (("cached", tmp_path / "cache"), ("live", None)):
        values = recipe(checkpoint, cache, **changes)
        values["train"] |= {"steps": 4, "validate_every": 100}
        run.train(values, out=tmp_path / name)
    for ours, theirs in zip(logged(tmp_path / "cached"), logged(tmp_path / "live"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_a_dry_run_with_a_cache_tells_its_size_and_leaves_no_trace(tmp_path: Path, checkpoint: Path) -> None:
    cache = tmp_path / "cache"
    values = recipe(checkpoint, cache, distill={"mvat": {}}, weights={})
    assert "has 0 of 16 answers" in run.dry_run(values).cache
    assert not cache.exists()
    run.train(values, ["train.steps=2"], out=tmp_path / "run")
    before = answers(cache).keys()
    assert f"has {len(before)} of 16 answers" in run.dry_run(values).cache
    assert answers(cache).keys() == before
    with pytest.raises(InputError, match=r"data\.segment_s was 0\.5"):
        run.dry_run(values, ["data.segment_s=1.0"])
    torch.manual_seed(2)
    models.save(models.create("manner-b", hidden=6, depth=4), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="teacher was "):
        run.train(values, [f"teacher.checkpoint={tmp_path / 'other.safetensors'}"], out=tmp_path / "run2")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"draws": 3}, "expected teacher.cache"),
        ({"cache": "somewhere", "draws": 0}, "at least 1"),
        ({"checkpoint": "nowhere.safetensors", "cache": "somewhere"}, "no such file"),
    ],
)
def test_mistakes_are_told(section: dict[str, Any], message: str, tmp_path: Path, checkpoint: Path) -> None:
    values = recipe(checkpoint, None)
    values["teacher"] |= section
    with pytest.raises(InputError, match=message):
        run.train(values, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Killed


def _train(values: dict[str, Any], out: Path) -> None:
    run.train(values, out=out, resume=(out / STATE).is_file())


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_run_leaves_a_cache_with_which_it_ends_as_if_never_killed(
    seed: int, tmp_path: Path, whole: tuple[Path, float], checkpoint: Path
) -> None:
    uninterrupted, seconds = whole
    out, cache = tmp_path / "run", tmp_path / "cache"
    values = recipe(checkpoint, cache)
    started = multiprocessing.get_context("fork").Process(target=_train, args=(values, out))
    started.start()
    time.sleep(random.Random(seed).uniform(0.1, 0.9) * seconds)
    if started.is_alive():
        os.kill(started.pid or 0, signal.SIGKILL)
    started.join()
    left = answers(cache)  # every file that has its name is whole
    _train(values, out)
    assert same_weights(out, uninterrupted / "run")
    now, expected = answers(cache), answers(uninterrupted / "cache")
    assert left.keys() <= now.keys() == expected.keys()
    assert all(torch.equal(now[name][tap], expected[name][tap]) for name in now for tap in now[name])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> tuple[Path, float]:
    """A run that nobody stopped, with its cache, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("whole")
    started = time.monotonic()
    _train(recipe(checkpoint, folder / "cache"), folder / "run")
    return folder, time.monotonic() - started
