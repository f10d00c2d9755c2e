"""Mixing and tempo: closed forms, levels, and events at their due time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from helpers.noise import tone, white
from sordino.audio.mix import PEAK, fit_noise, mix, rms_db
from sordino.audio.tempo import stretch

# ---- mixing


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 7.3, 20.0])
@pytest.mark.parametrize("level_db", [None, -35.0, -3.0])
def test_the_ratio_holds_whatever_the_level(snr_db, level_db):
    clean, noise = tone(hertz=300, level=0.3), white(16000, level=0.02)
    noisy, scaled, added = mix(clean, noise, snr_db, level_db)
    assert noisy.dtype == scaled.dtype == added.dtype == np.float32
    np.testing.assert_array_equal(noisy, scaled + added)
    assert rms_db(scaled) - rms_db(added) == pytest.approx(snr_db, abs=1e-4)
    peak = max(np.abs(noisy).max(), np.abs(scaled).max())
    if level_db is not None and peak < PEAK - 1e-3:
        assert rms_db(noisy) == pytest.approx(level_db, abs=1e-4)
    assert peak <= PEAK + 1e-6


def test_levels_of_known_signals():
    assert rms_db(np.ones(100)) == pytest.approx(0)
    assert rms_db(tone(hertz=100, level=1.0)) == pytest.approx(-10 * math.log10(2), abs=1e-3)
    assert rms_db(np.zeros(10)) == rms_db(np.zeros(0)) == -math.inf


def test_the_clip_guard_turns_all_down_together():
    clean = tone(hertz=300, level=0.9)
    noisy, scaled, added = mix(clean, white(16000, level=0.2), 0.0)
    assert np.abs(noisy).max() == pytest.approx(PEAK, abs=1e-6)
    assert rms_db(scaled) - rms_db(added) == pytest.approx(0, abs=1e-4)


def test_silence_leaves_the_other_as_it_is():
    clean, noise, nothing = tone(hertz=300), white(16000), np.zeros(16000, dtype=np.float32)
    for first, second in ((nothing, noise), (clean, nothing)):
        noisy, scaled, added = mix(first, second, 5.0)
        np.testing.assert_array_equal(scaled, first)
        np.testing.assert_array_equal(added, second)
        np.testing.assert_array_equal(noisy, first + second)
    assert not mix(nothing, nothing, 5.0, -20.0)[0].any()


def test_noise_is_cut_or_starts_over():
    noise = np.arange(10)
    np.testing.assert_array_equal(fit_noise(noise, 4, 3), [3, 4, 5, 6])
    np.testing.assert_array_equal(fit_noise(noise, 25, 8), np.arange(8, 33) % 10)


# ---- tempo


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.25])
@pytest.mark.parametrize("hertz", [110.0, 440.0, 1500.0])
def test_tempo_changes_length_and_not_pitch(factor, hertz):
    audio = tone(seconds=4.0, hertz=hertz)
    out = stretch(audio, factor)
    assert len(out) == round(len(audio) / factor)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)), 2**18))
    assert spectrum.argmax() * 16000 / 2**18 == pytest.approx(hertz, rel=0.01)
    assert rms_db(out) == pytest.approx(rms_db(audio), abs=0.1)
    assert np.abs(out).max() <= 0.51


def test_tempo_moves_events_to_their_due_time():
    audio = 1e-4 * white(64000)
    for second in (0.5, 1.7, 3.1):
        audio[round(second * 16000)] = 1.0
    for factor in (0.9, 1.1):
        found = np.sort(np.argsort(stretch(audio, factor))[-3:]) / 16000
        np.testing.assert_allclose(found, np.array([0.5, 1.7, 3.1]) / factor, atol=0.01)


def test_tempo_one_is_the_signal_itself_and_the_rest_is_deterministic():
    audio = white(20000)
    same = stretch(audio, 1.0)
    np.testing.assert_array_equal(same, audio)
    assert same is not audio
    np.testing.assert_array_equal(stretch(audio, 1.1), stretch(audio.copy(), 1.1))
    np.testing.assert_allclose(stretch(np.ones(9000, dtype=np.float32), 0.93)[:-600], 1.0, atol=1e-5)
    assert not stretch(np.zeros(5000, dtype=np.float32), 1.2).any()
    assert len(stretch(np.zeros(0, dtype=np.float32), 1.2)) == 0
    assert len(stretch(white(100), 0.9)) == 111
    with pytest.raises(ValueError, match="tempo"):
        stretch(audio, 0.0)
