"""Files of a corpus with odd names, and such as the system does not read: neither stops the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from helpers.corpora import write_pair
from helpers.noise import hiss
from sordino.audio.sound_files import write
from sordino.data import manifest, sources
from sordino.data.tools.check import check
from sordino.data.tools.prepare import prepare
from sordino.data.tools.render import render
from sordino.errors import InputError
from sordino.evaluation.evaluate import evaluate

RATE = 16000
UNDECODABLE = os.fsdecode(b"caf\xe9_1.wav")
"""A name that is no UTF-8, as old archives hold them."""
FAILING = Path("/proc/self/mem")
"""A file of Linux whose first byte cannot be read, not even by root."""


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for number, name in enumerate((UNDECODABLE, "a_1.wav", "b_1.wav", "c_1.wav")):
        write_pair(tmp_path / "pairs", name, number)
    return tmp_path / "pairs"


def test_names_that_are_no_utf_8_go_through_a_manifest(pairs: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    assert check(pairs, fix=table)["files"] == 8
    assert str(pairs / "noisy" / UNDECODABLE) in {entry.noisy for entry in manifest.read(table)}
    folders = {side: str(pairs / side) for side in ("noisy", "clean")}
    source = sources.Pairs(**folders, manifest=str(table), segment_s=0.5)
    assert len(source.train(0)) + len(source.valid()) == 4


def test_names_that_are_no_utf_8_can_be_mixed(pairs: Path) -> None:
    source = sources.Mix(str(pairs / "clean"), str(pairs / "noisy"), segment_s=0.5, valid_items=2)
    assert len(source.valid()) == 2


def test_long_names_of_other_scripts_can_be_rendered(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "clean" / f"{'語' * 70}{number}_1.wav", hiss(0.5, seed=number), RATE)
        write(tmp_path / "noise" / f"{'音' * 70}{number}.wav", hiss(0.5, seed=number + 9), RATE)
    source = sources.Mix(str(tmp_path / "clean"), str(tmp_path / "noise"), segment_s=0.5, valid_items=1)
    assert render(source, tmp_path / "out", 1 / 3600, workers=1).failed == []


@pytest.mark.skipif(not FAILING.is_file(), reason="needs /proc")
def test_a_file_that_the_system_does_not_read_stops_no_other(pairs: Path, tmp_path: Path) -> None:
    broken = pairs / "noisy" / "a_1.wav"
    broken.unlink()
    broken.symlink_to(FAILING)
    report = check(pairs)
    assert report["counts"]["unreadable"] == 1
    done = prepare(pairs, tmp_path / "out", workers=1)
    assert [Path(path).name for path, _ in done.failed] == ["a_1.wav"]
    assert done.written == 7
    scores = evaluate(None, (str(pairs / "noisy"), str(pairs / "clean")), metrics=["si_sdr_db"], workers=0)
    assert len(scores.rows) == 3


@pytest.mark.parametrize("count", [-1, 5])
def test_a_check_looks_at_its_options_before_it_reads(pairs: Path, tmp_path: Path, count: int) -> None:
    table = pairs / "noisy" / "b_1.wav"
    before, seen = table.read_bytes(), []
    with pytest.raises(InputError, match=r"-1 pairs|is no manifest of sordino"):
        check(pairs, count=count, fix=table, progress=lambda *step: seen.append(step))
    assert seen == []
    assert table.read_bytes() == before
