"""Recordings without clean speech, alone or beside labelled data."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from helpers.corpora import write_pairs
from helpers.recipes import recipe
from sordino.audio import sound_files
from sordino.data import sources
from sordino.data.sources import SemiSupervised, Synthetic
from sordino.errors import InputError
from sordino.experiments import run as recipes
from sordino.training import read_log


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for index, item in enumerate(sources.create("synthetic", valid_items=3).valid()):
        sound_files.write(folder / f"{index}.wav", item.noisy[None], 16000)
    return folder


def test_partly_labelled_data_have_the_share_that_was_asked_for(recordings: Path) -> None:
    source = SemiSupervised(Synthetic(segment_s=0.5, epoch_size=30), str(recordings), 0.25)
    segments = source.train(0)
    items = [segments[0, index] for index in range(len(segments))]
    assert len(items) == 40
    assert [item.clean is None for item in items] == [False] * 30 + [True] * 10
    assert {len(item.noisy) for item in items} == {8000}
    assert np.array_equal(items[35].noisy, segments[0, 35].noisy)
    assert not np.array_equal(items[35].noisy, segments[1, 35].noisy)
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match="share"):
            SemiSupervised(Synthetic(), str(recordings), share)
    assert source.labels == "some"
    assert SemiSupervised(sources.create("pairs", noisy=str(recordings)), str(recordings), 0.5).labels == "none"


@pytest.mark.parametrize("mixed", [True, False])
def test_noisy_recordings_alone_or_beside_labelled_data_train_a_student(
    tmp_path: Path, recordings: Path, mixed: bool
) -> None:
    values = recipe(tmp_path, stages=[])
    if mixed:
        values["unlabelled"] = {"noisy": str(recordings), "share": 0.5}
    else:
        values |= {"data": {"name": "pairs", "noisy": str(recordings), "segment_s": 0.5}, "loss": {}}
    outcome = recipes.train(values, out=tmp_path / "run")
    assert outcome.valid  # against the teacher's estimate where there is no reference
    assert all(math.isfinite(record["total"]) for record in read_log(tmp_path / "run") if "total" in record)


def test_a_loss_on_recordings_without_references_is_refused_before_training(tmp_path: Path, recordings: Path) -> None:
    values = recipe(tmp_path, stages=[], data={"name": "pairs", "noisy": str(recordings), "segment_s": 0.5})
    with pytest.raises(InputError, match="loss/weighted: needs clean speech"):
        recipes.train(values, out=tmp_path / "run")
    assert not (tmp_path / "run" / "state.pt").exists()


def unlabelled_ids(source: SemiSupervised) -> set[str]:
    segments = source.train(0)
    items = [segments[epoch, index] for epoch in range(8) for index in range(len(segments))]
    return {item.id for item in items if item.clean is None}


def test_recordings_that_are_kept_for_validation_or_a_test_are_no_unlabelled_ones(tmp_path: Path) -> None:
    noisy, clean = write_pairs(tmp_path, speakers=5, each=1)
    everything = {f"s{speaker}_0" for speaker in range(5)}
    options = {"noisy": noisy, "clean": clean, "segment_s": 0.2}
    for more in ({}, {"test_fraction": 0.25}):
        labelled = sources.Pairs(**options, **more)
        kept = {pair.id for split in ("valid", "test") for pair in labelled.pairs(split)}
        assert unlabelled_ids(SemiSupervised(labelled, noisy, 0.8)) == everything - kept
        assert len(kept) == 1 + len(more)
    for side in (noisy, clean):
        (Path(side) / "test").mkdir()
        (Path(side) / "s4_0.wav").rename(Path(side) / "test" / "s4_0.wav")
    tests = {f"test_{side}": str(tmp_path / side / "test") for side in ("noisy", "clean")}
    mixed = sources.Mix(clean, clean, segment_s=0.2, epoch_size=4, **tests)
    assert unlabelled_ids(SemiSupervised(mixed, noisy, 0.8)) == everything - {"s4_0"}
    with pytest.raises(InputError, match="holds only recordings that data keeps for validation or a test"):
        SemiSupervised(mixed, tests["test_noisy"], 0.8).train(0)


def test_test_speakers_of_the_benchmark_are_no_unlabelled_ones(valentini: Path) -> None:
    source = SemiSupervised(sources.Valentini(str(valentini), segment_s=0.2), str(valentini), 0.8)
    assert {Path(name).name for name in unlabelled_ids(source)} == {"p226_001", "p226_002", "p227_001", "p228_003"}
