"""Runs with a teacher's cache: equal to live ones, whole after a kill at any moment; and data whose draws return."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.caches import answers
from helpers.recipes import MANNER, SOUND, settings
from helpers.runs import same_weights, timeless
from sordino import models
from sordino.data import sources
from sordino.data.loader import loader
from sordino.data.sources import SemiSupervised, Synthetic
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.dry_run import dry_run
from sordino.training.state import STATE


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
    """A tiny student on synthetic data: 2 batches an epoch, the draws of which come back in the third."""
    section: dict[str, Any] = {"checkpoint": str(teacher)}
    return {
        "data": {**SOUND, "epoch_size": 4, "tempo": [0.9, 1.1]},
        "model": MANNER,
        "teacher": section | ({} if cache is None else {"cache": str(cache), "draws": 2}),
        "loss": {"weighted": {}},
        "distill": {"mvat": {}, "fitnets": {}},
        "weights": {"kd/mvat": 0.01},
        "train": settings(6, save_every=2),
        **changes,
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_teacher(path, seed=1)
    return path


def save_teacher(path: Path, seed: int, depth: int = 2) -> None:
    torch.manual_seed(seed)
    models.save(models.create("manner-b", hidden=6, depth=depth), path)


def test_a_run_with_a_cache_is_the_live_run_and_the_next_one_needs_no_teacher(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, messages = tmp_path / "cache", []

    def listen(line: str) -> None:
        messages.append((line, cache.exists()))

    run.train(recipe(checkpoint, cache), out=tmp_path / "first", status=listen)
    message, written = messages[0]
    assert "has 0 of 8 answers" in message
    assert not written
    assert len(answers(cache)) == 8
    run.train(recipe(checkpoint, None), out=tmp_path / "live")
    # Two epochs are the same but for half precision, which each step of Adam carries on; from then on, the live run has
    # new draws.
    for step, (cached, live) in enumerate(
        zip(timeless(tmp_path / "first")[:4], timeless(tmp_path / "live"), strict=False)
    ):
        assert cached == pytest.approx(live, rel=3e-4 if step == 0 else 1e-3)
    monkeypatch.setattr(models, "load", never)
    run.train(recipe(checkpoint, cache), out=tmp_path / "second")
    assert same_weights(tmp_path / "first", tmp_path / "second")
    assert timeless(tmp_path / "first") == timeless(tmp_path / "second")


def test_partly_labelled_data_are_cached_too(tmp_path: Path) -> None:
    Synthetic(segment_s=0.5).write(tmp_path / "corpus")
    more = {"noisy": str(tmp_path / "corpus" / "test" / "noisy"), "share": 0.5}
    changes = {"unlabelled": more, "distill": {"bounded": {}, "output": {}}, "weights": {}}
    # A student that is worse than its teacher, or the bounded loss would be 0.
    changes["model"] = {"name": "manner-s", "hidden": 2, "depth": 3}
    save_teacher(checkpoint := tmp_path / "teacher.safetensors", seed=1, depth=4)
    for name, cache in (("cached", tmp_path / "cache"), ("live", None)):
        values = recipe(checkpoint, cache, **changes)
        values["train"] |= {"steps": 4, "validate_every": 100}
        run.train(values, out=tmp_path / name)
    for cached, live in zip(timeless(tmp_path / "cached"), timeless(tmp_path / "live"), strict=True):
        assert cached == pytest.approx(live, rel=1e-3)


def test_a_dry_run_with_a_cache_tells_its_size_and_leaves_no_trace(tmp_path: Path, checkpoint: Path) -> None:
    cache = tmp_path / "cache"
    values = recipe(checkpoint, cache, distill={"mvat": {}}, weights={})
    assert "has 0 of 8 answers" in dry_run(values).cache
    assert not cache.exists()
    run.train(values, ["train.steps=2"], out=tmp_path / "run")
    before = answers(cache).keys()
    assert f"has {len(before)} of 8 answers" in dry_run(values).cache
    assert answers(cache).keys() == before
    with pytest.raises(InputError, match=r"data\.segment_s was 0\.5"):
        dry_run(values, ["data.segment_s=1.0"])
    save_teacher(tmp_path / "other.safetensors", seed=2)
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
def test_mistakes_are_reported(section: dict[str, Any], message: str, tmp_path: Path, checkpoint: Path) -> None:
    values = recipe(checkpoint, None)
    values["teacher"] |= section
    with pytest.raises(InputError, match=message):
        run.train(values, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Killed


def _train(values: dict[str, Any], out: Path) -> None:
    run.train(values, out=out, resume=(out / STATE).is_file())


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_run_leaves_a_cache_with_which_it_ends_as_if_never_killed(
    seed: int, tmp_path: Path, whole: Path, checkpoint: Path
) -> None:
    out, cache = tmp_path / "run", tmp_path / "cache"
    values = recipe(checkpoint, cache)
    started = multiprocessing.get_context("fork").Process(target=_train, args=(values, out))
    started.start()
    stop = random.Random(seed).randrange(1, len(answers(whole / "cache")))
    while started.is_alive() and len(list(cache.glob("??/[!.]*.safetensors"))) < stop:
        time.sleep(0.001)
    started.kill()
    started.join()
    assert started.exitcode == -signal.SIGKILL
    left = answers(cache)  # every file that has its name is whole
    _train(values, out)
    assert same_weights(out, whole / "run")
    now, expected = answers(cache), answers(whole / "cache")
    assert left.keys() <= now.keys() == expected.keys()
    assert all(torch.equal(now[name][tap], expected[name][tap]) for name in now for tap in now[name])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    """A run that nobody stopped, with its cache."""
    folder = tmp_path_factory.mktemp("whole")
    _train(recipe(checkpoint, folder / "cache"), folder / "run")
    return folder
