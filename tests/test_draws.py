"""What is drawn for a mixture: from where in a recording, how loud, and what the guard against clipping looks at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.noise import tone, white
from sordino.audio.mix import PEAK, mix, rms_db
from sordino.data.augmentation import NOTHING, Augmentation
from sordino.data.augmentation_apply import OTHER_DB, Degrader, MixtureParts
from sordino.data.mixer import Mixer
from sordino.data.mixing import Mixing
from sordino.data.sources.synthetic import MemoryRecordings

RATE = 16000
RAMP = np.linspace(0.01, 0.09, 10 * RATE, dtype=np.float32)
"""A recording whose samples tell their places."""


def mixer(speech: list[np.ndarray], noise: list[np.ndarray], **changes: Any) -> Mixer:
    names = [f"s{number}" for number in range(len(speech))]
    mixing = Mixing(snr_db=(0.0, 0.0), level_db=None, augment=None, **changes)
    noises = [f"n{number}" for number in range(len(noise))]
    return Mixer(MemoryRecordings(speech), names, names, MemoryRecordings(noise), noises, RATE, mixing)


def place_of(drawn: np.ndarray) -> float:
    """Where in the ramp a part of it lies, whatever it was scaled by: from 0 to 1."""
    slope = float(drawn[-1] - drawn[0]) / (len(drawn) - 1)
    return (float(drawn[0]) / slope - RAMP[0] / (RAMP[1] - RAMP[0])) / (len(RAMP) - len(drawn))


def test_speech_and_noise_are_drawn_from_all_of_a_recording() -> None:
    starts, offsets = [], []
    for seed in range(60):
        item = mixer([RAMP], [white(RATE)]).draw(np.random.default_rng(seed), 0.0, RATE)
        assert item.clean is not None
        starts.append(place_of(item.clean))
        item = mixer([tone(1.0)], [RAMP]).draw(np.random.default_rng(seed), 0.0, RATE // 10)
        assert item.clean is not None
        offsets.append(place_of(item.noisy - item.clean))
    for places in (starts, offsets):
        assert min(places) < 0.1
        assert 0.9 < np.quantile(places, 0.95) <= 1.1


def test_voices_of_babble_differ_by_no_more_than_six_decibels_whatever_their_recordings_levels() -> None:
    hertz = (300.0, 700.0, 1100.0, 1500.0)
    speech = [tone(2.0, hertz=one, level=level) for one, level in zip(hertz, (0.01, 0.3, 0.03, 0.1), strict=True)]
    spreads = []
    for seed in range(20):
        made = mixer(speech, [white(RATE)], babble=1.0)._babble(np.random.default_rng(seed), "nobody", RATE)
        spectrum = np.abs(np.fft.rfft(made * np.hanning(RATE)))
        lines = np.array([spectrum[round(one)] for one in hertz])
        levels_db = 20 * np.log10(lines[lines > lines.max() / 100])
        assert len(levels_db) >= 3
        spreads.append(levels_db.max() - levels_db.min())
    assert max(spreads) <= 6.1
    assert max(spreads) > 2, "and they do differ"


def test_the_guard_looks_at_the_peak_of_the_clean_speech_too() -> None:
    clean = tone(hertz=300, level=1.2)
    noisy, scaled, _ = mix(clean, -0.5 * clean, 6.02)
    assert np.abs(noisy).max() < 0.6
    assert np.abs(scaled).max() == pytest.approx(PEAK, abs=1e-3)


def added_noise(chances: Augmentation, noise: np.ndarray, *others: np.ndarray, seed: int = 0) -> np.ndarray:
    """What a degrader makes of noise beside speech: the mixture without the speech."""
    clean, following = tone(len(noise) / RATE, hertz=300, level=0.1), iter(others)
    parts = MixtureParts(clean, clean, noise)

    def draw(_rng: np.random.Generator, length: int) -> np.ndarray:
        return next(following)[:length]

    noisy, scaled, _ = Degrader(chances, RATE)(np.random.default_rng(seed), parts, draw, None, None)
    return noisy - scaled


def line_db(audio: np.ndarray, hertz: float) -> float:
    """Level of a tone in a sound."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(20 * np.log10(spectrum[round(hertz * len(audio) / RATE)]))


def test_a_second_noise_is_as_loud_beside_the_first_as_its_range_says() -> None:
    first, second, third = (
        tone(2.0, hertz=one, level=level) for one, level in ((2000, 0.05), (5000, 0.4), (7000, 0.01))
    )
    levels = []
    for seed in range(30):
        added = added_noise(replace(NOTHING, noises=1.0), first, second, third, seed=seed)
        levels.append(line_db(added, 5000) - line_db(added, 2000))
    low, high = OTHER_DB
    assert low - 0.2 <= min(levels) < max(levels) <= high + 0.2, "whatever the levels of the recordings"
    assert max(levels) - min(levels) > (high - low) / 2


def test_hum_is_as_loud_beside_the_noise_as_its_range_says_with_and_without_rumble() -> None:
    noise = tone(4.0, hertz=3000, level=0.1)
    for rumble in (0.0, 1.0):
        chances = replace(
            NOTHING, hum=1.0, hum_db=(6.0, 6.0), rumble=rumble, rumble_db=(20.0, 20.0), rumble_hz=(15.0, 15.0)
        )
        added = added_noise(chances, noise)
        spectrum = np.abs(np.fft.rfft(added * np.hanning(len(added)))) ** 2
        hertz = np.fft.rfftfreq(len(added), 1 / RATE)
        hum = spectrum[(hertz > 40) & (hertz < 2900)].sum()
        assert 10 * np.log10(hum / spectrum[(hertz > 2900) & (hertz < 3100)].sum()) == pytest.approx(6, abs=0.7)


def test_short_sounds_are_as_loud_beside_the_noise_as_their_range_says() -> None:
    noise, sounds = tone(2.0, hertz=2000, level=0.1), tone(2.0, hertz=5000, level=0.01)
    added = added_noise(replace(NOTHING, bursts=1.0, bursts_db=(10.0, 10.0)), noise, *[sounds] * 20)
    high = added - tone(2.0, hertz=2000, level=0.1)
    assert rms_db(high) - rms_db(noise) == pytest.approx(10, abs=0.2), "over the whole segment"


def test_half_of_the_lines_are_a_telephone_that_cuts_low_frequencies_too() -> None:
    noise, shares = white(4 * RATE), []
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    for seed in range(40):
        spectrum = np.abs(np.fft.rfft(added_noise(replace(NOTHING, band=1.0), noise, seed=seed))) ** 2
        shares.append(spectrum[hertz < 150].sum() / spectrum.sum())
    telephone = [share for share in shares if share < 1e-3]
    others = [share for share in shares if share > 0.015]
    assert len(telephone) + len(others) == 40
    assert 10 < len(telephone) < 30
