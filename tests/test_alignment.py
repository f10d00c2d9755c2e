"""Late references and other recordings are found by sound, in arrays and by evaluate, and a lag can be taken off."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sordino
from helpers.noise import white
from sordino.assets import SPEECH
from sordino.audio.alignment import EXCERPT, REACH, Alignment, aligned, alignment, describe_reference, loudest
from sordino.audio.sound_files import read_mono, write
from sordino.data.voices import Voice, speak
from sordino.evaluation.score import score
from sordino.types import Item

RATE = 16000
NOTHING = Alignment(None, foreign=False)


def voice(seed: int, seconds: float = 2.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return speak(generator, Voice.draw(generator), seconds, RATE)


def mixed(clean: np.ndarray, snr_db: float, seed: int = 0) -> np.ndarray:
    noise = white(len(clean), seed=seed, level=1.0)
    return clean + noise * np.sqrt(np.mean(clean**2) / np.mean(noise**2) / 10 ** (snr_db / 10))


@settings(max_examples=15, deadline=None)
@given(lag=st.integers(-REACH // 2, REACH // 2), snr_db=st.sampled_from([20, 5, 0]), gain=st.sampled_from([-1, 1e-3]))
def test_a_lag_is_found_to_the_sample_and_undone(lag: int, snr_db: float, gain: float) -> None:
    clean = read_mono(SPEECH, RATE)
    noisy = np.roll(gain * mixed(clean, snr_db), lag)
    assert alignment(clean, noisy) == Alignment(lag, foreign=False)
    first, second = aligned(clean, noisy)
    assert len(first) == len(second) == len(clean) - abs(lag)
    assert alignment(first, second).lag == 0


def test_other_recordings_are_foreign_and_the_same_one_in_noise_is_not() -> None:
    voices = [voice(seed) for seed in range(6)]
    pairs = [(one, mixed(other, 5)) for one in voices for other in voices if one is not other]
    found = [alignment(*pair) for pair in pairs]
    assert all(one.lag is None for one in found)
    assert np.mean([one.foreign for one in found]) >= 0.9
    for snr_db in (20, 0, -5):
        assert not any(alignment(one, mixed(one, snr_db)).foreign for one in voices)


def test_a_tone_in_noise_is_no_other_recording() -> None:
    tone = np.sin(2 * np.pi * 440 / RATE * np.arange(2 * RATE))
    assert not alignment(tone, tone + 0.5 * white(len(tone), level=1.0)).foreign


@pytest.mark.parametrize("other", [np.zeros(RATE), np.full(RATE, np.nan), np.ones(100), np.zeros((2, RATE))])
def test_what_says_nothing_is_not_judged(other: np.ndarray) -> None:
    assert alignment(voice(0), other) == NOTHING
    assert alignment(other, voice(0)) == NOTHING


def test_the_loudest_part_of_a_long_recording_is_compared() -> None:
    clean, noisy = (white(6 * EXCERPT, seed=seed, level=1e-3) for seed in (0, 1))
    clean[4 * EXCERPT : 5 * EXCERPT] = white(EXCERPT, seed=2, level=0.1)
    noisy[4 * EXCERPT + 7 : 5 * EXCERPT + 7] = clean[4 * EXCERPT : 5 * EXCERPT]
    assert loudest(clean) == 4 * EXCERPT
    assert alignment(clean, noisy).lag == 7


def test_evaluate_tells_of_both_in_a_line_each_and_measures_with_the_lag_taken_off(tmp_path: Path) -> None:
    for number in range(4):
        clean = voice(number)
        late = 16 if number in (1, 2) else 0
        reference = voice(9) if number == 3 else np.roll(clean, late)
        write(tmp_path / "noisy" / f"{number}.wav", mixed(clean, 15), RATE)
        write(tmp_path / "clean" / f"{number}.wav", reference, RATE)
    folders, how = (tmp_path / "noisy", tmp_path / "clean"), {"metrics": ("si_sdr_db",), "workers": 0}
    with pytest.warns(UserWarning, match="references") as warned:
        late = sordino.evaluate(None, folders, **how).values("si_sdr_db")
    lines = [str(one.message) for one in warned]
    assert len(lines) == 2
    assert "2 of 4 references are late or early" in lines[0]
    assert "1.00 ms (16 samples) too late; --align lag" in lines[0]
    assert "1 of 4 references seem to belong to another recording, 3 first" in lines[1]
    with pytest.warns(UserWarning, match="references") as warned:
        scores = sordino.evaluate(None, folders, align="lag", **how)
    assert ["another recording" in str(one.message) for one in warned] == [True]
    assert scores.metadata["lags"] == {"1": -16, "2": -16}
    shifted = scores.values("si_sdr_db")
    assert late["0"] == shifted["0"] == pytest.approx(15, abs=0.5)
    assert late["1"] < 5
    assert shifted["1"] == pytest.approx(15, abs=0.5)


def test_recordings_of_one_name_keep_their_own_lags() -> None:
    items = []
    for number, late in enumerate((16, 0, 24)):
        clean = voice(number)
        items.append(Item(mixed(clean, 15), np.roll(clean, late), len(clean), "same", ""))
    scores = score(None, items, ("si_sdr_db",), workers=0, check_references=True)
    assert scores.metadata["lags"] == {"same": -16, "same (3)": -24}


def test_pairs_that_lie_as_they_should_are_not_spoken_of(tmp_path: Path) -> None:
    write(tmp_path / "noisy" / "a.wav", mixed(voice(0), 5), RATE)
    write(tmp_path / "clean" / "a.wav", voice(0), RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sordino.evaluate(None, (tmp_path / "noisy", tmp_path / "clean"), metrics=("si_sdr_db",), workers=0)


def test_a_lag_is_described_in_words() -> None:
    assert describe_reference(1, 16000) == "0.06 ms (1 sample) too early"
    assert describe_reference(-480, 48000) == "10.00 ms (480 samples) too late"
