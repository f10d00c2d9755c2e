"""What ``sordino.evaluate`` refuses: lengths and rates that contradict each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sordino
from helpers.noise import hiss
from sordino.audio.sound_files import write
from sordino.data import sources
from sordino.errors import InputError
from sordino.evaluation.score import score
from sordino.types import Item

RATE = 16000


@pytest.mark.parametrize("longer", ["noisy", "clean"])
def test_two_files_of_different_lengths_are_refused_unless_they_are_to_be_cut(tmp_path: Path, longer: str) -> None:
    for side, level in (("noisy", 0.2), ("clean", 0.1)):
        audio = hiss(1, seed=1, level=level)
        write(tmp_path / side / "a.wav", np.pad(audio, (0, 800 if side == longer else 0)), RATE)
    folders = (str(tmp_path / "noisy"), str(tmp_path / "clean"))
    with pytest.raises(InputError, match=r"16000 samples beside 16800|16800 samples beside 16000"):
        sordino.evaluate(None, folders, metrics=["pesq_wb"], workers=0)
    assert not sordino.evaluate(None, folders, metrics=["pesq_wb"], workers=0, align="shorter").failures


def test_another_rate_than_the_sources_is_refused() -> None:
    with pytest.raises(InputError, match="8000 Hz for data at 16000 Hz"):
        sordino.evaluate(None, sources.Synthetic(), sample_rate=8000)


@pytest.mark.parametrize("name", ["sample_rate", "model_rate"])
def test_rates_that_are_none_are_refused(name: str) -> None:
    item = Item(hiss(1, seed=1), hiss(1, seed=2), RATE, "a")
    for rate in ("fast", 44100.5):
        with pytest.raises(InputError, match=rf"{name}: .*expected a whole number of Hz"):
            sordino.evaluate(lambda noisy: noisy, [item], metrics=["si_sdr_db"], workers=0, **{name: rate})


def test_an_estimate_that_is_not_floating_point_is_refused() -> None:
    item = Item(hiss(1, seed=1), hiss(1, seed=2), RATE, "a")
    with pytest.raises(InputError, match="gave values of type int16; expected samples, floating point"):
        score(lambda noisy: (noisy * 32767).astype(np.int16), [item], ("si_sdr_db",), workers=0)
