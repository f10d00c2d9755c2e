"""Filters, low disturbances, synthetic rooms and codecs: pure functions, held against what their sources say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sordino.audio import filters
from sordino.audio.codecs import codecs_at, round_trip
from sordino.audio.disturbances import fade, hum, loudest_part, place_copies, rumble, rumble_samples
from sordino.audio.mix import clip, rms_db
from sordino.audio.rooms import EARLY_S, Shoebox, direct_first, reverberate, synthetic_response
from sordino.data.augmentation_draws import draw_room

RATE = 16000


def gain_db(sections: np.ndarray, *hz: float) -> list[float]:
    return (20 * np.log10(np.abs(filters.response(sections, np.array(hz), RATE)))).tolist()


def share_below(audio: np.ndarray, hz: float) -> float:
    energy = np.square(np.abs(np.fft.rfft(audio)))
    return float(energy[np.fft.rfftfreq(len(audio), 1 / RATE) < hz].sum() / energy.sum())


def test_shelves_peaks_and_passes_have_the_cookbooks_gains() -> None:
    assert gain_db(filters.low_shelf(500, 8, RATE), 1, 500, 7900) == pytest.approx([8, 4, 0], abs=0.01)
    assert gain_db(filters.high_shelf(2000, -6, RATE), 1, 2000, 7900) == pytest.approx([0, -3, -6], abs=0.02)
    assert gain_db(filters.peak(1000, 9, RATE), 1, 1000, 7999) == pytest.approx([0, 9, 0], abs=0.01)
    half = 20 * math.log10(math.sqrt(0.5))
    assert gain_db(filters.high_pass(250, RATE), 62.5, 250, 4000) == pytest.approx([-24.1, half, 0], abs=0.2)
    assert gain_db(filters.low_pass(500, RATE), 50, 500, 2000) == pytest.approx([0, half, -25], abs=1.0)
    with pytest.raises(ValueError, match="half of"):
        filters.peak(8000, 3, RATE)


def test_a_tilt_has_its_slope_and_leaves_its_pivot() -> None:
    for slope in (-2.0, 1.5):
        octaves = np.array(gain_db(filters.tilt(slope, RATE), 250, 500, 1000, 2000, 4000))
        assert octaves[2] == pytest.approx(0, abs=1e-9)
        np.testing.assert_allclose(np.diff(octaves), slope, atol=0.25 * abs(slope))


def test_bands_keep_what_lies_inside() -> None:
    assert gain_db(filters.telephone(300, 3400, RATE), 1000) == pytest.approx([0], abs=0.1)
    assert max(gain_db(filters.telephone(300, 3400, RATE), 100, 6000)) < -35
    assert gain_db(filters.steep_low_pass(4000, RATE), 100, 2500) == pytest.approx([0, 0], abs=0.1)
    assert max(gain_db(filters.steep_low_pass(4000, RATE), 4000, 6000, 7900)) < -59


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-filters.RANDOM_MAX, filters.RANDOM_MAX), min_size=4, max_size=4))
def test_a_random_section_is_stable_and_is_what_scipy_makes_of_it(numbers: list[float]) -> None:
    section = filters.random_section(numbers)
    assert np.abs(np.roots(section[0, 3:])).max() < 1
    impulse = np.zeros(4096, np.float32)
    impulse[0] = 1
    spectrum, hz = np.fft.rfft(filters.apply_filters(impulse, section)), np.fft.rfftfreq(4096, 1 / RATE)
    np.testing.assert_allclose(spectrum, filters.response(section, hz, RATE), atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_rumble_lies_below_its_edge_and_follows_its_swell(rate: int) -> None:
    white = np.random.default_rng(1).standard_normal(rumble_samples(4 * rate, rate))
    steady = rumble(white, np.zeros(2), (20, 80), rate)
    assert len(steady) >= 4 * rate
    energy, hz = np.square(np.abs(np.fft.rfft(steady))), np.fft.rfftfreq(len(steady), 1 / rate)
    assert energy[hz < 120].sum() > 0.9 * energy.sum()
    assert energy[hz > 600].sum() < 1e-4 * energy.sum()
    swelling = rumble(white, np.array([-20.0, 0.0]), (20, 80), rate)
    assert rms_db(swelling[-rate:]) - rms_db(swelling[:rate]) > 10


@pytest.mark.parametrize(("mains", "rate"), [(50, 16000), (60, 16000), (60, 22050)])
def test_hum_has_energy_at_harmonics_alone(mains: int, rate: int) -> None:
    wave = hum(mains, [1.0, 0.5], [0.3, 1.0], rate, rate)
    spectrum = np.abs(np.fft.rfft(wave)) * 2 / rate
    assert spectrum[mains] == pytest.approx(1.0, abs=1e-4)
    assert spectrum[2 * mains] == pytest.approx(0.5, abs=1e-4)
    spectrum[[mains, 2 * mains]] = 0
    assert spectrum.max() < 1e-4


def test_the_loudest_part_is_cut_faded_and_laid() -> None:
    sound = np.full(RATE, 0.01, np.float32)
    sound[7000:8000] = 0.5
    cut = loudest_part(sound, 1000)
    np.testing.assert_array_equal(cut, np.full(1000, 0.5, np.float32))
    assert fade(cut, RATE)[0] < 0.001
    assert fade(cut, RATE)[500] == 0.5
    assert sound[7000] == 0.5  # fading leaves its input alone
    laid = place_copies(cut, [10, 3500, 10], 4000)
    assert laid[500] == 1.0
    assert laid[3600] == 0.5
    assert len(laid) == 4000
    assert not laid[:10].any()


ROOM = Shoebox(np.array([5.0, 4.0, 3.0]), np.array([1.0, 1.5, 1.5]), np.array([2.0, 2.0, 1.2]), 0.4)


def test_a_synthetic_room_decays_as_it_should() -> None:
    response = synthetic_response(ROOM, np.random.default_rng(0).standard_normal(RATE // 2), RATE)
    assert response[0] == 1
    assert np.abs(response[1:]).max() < 1
    # Schroeder's backward integral: from -5 to -25 dB takes a third of the time in which it falls by 60 dB.
    decay = 10 * np.log10(np.cumsum(np.square(response)[::-1])[::-1] / np.square(response).sum())
    late = [int(np.argmax(decay < level)) for level in (-12, -32)]
    assert 3 * (late[1] - late[0]) / RATE == pytest.approx(ROOM.decay_s, rel=0.2)
    # The first reflection comes from the floor: 2.70 m below a straight line of 1.16 m.
    direct = math.dist(ROOM.talker_m, ROOM.microphone_m)
    floor = math.hypot(1.0, 0.5, 1.5 + 1.2)
    first = int(np.flatnonzero(response[1:])[0]) + 1
    shortest = min(floor, math.hypot(1.0, 0.5, 6.0 - 1.5 - 1.2), math.hypot(3.0, 0.5, 0.3), math.hypot(1.0, 3.5, 0.3))
    assert first == round((shortest - direct) / 343 * RATE)


def test_references_keep_all_of_a_room_or_its_first_50_ms_or_its_direct_path() -> None:
    rng = np.random.default_rng(0)
    speech = rng.standard_normal(RATE).astype(np.float32)
    response = synthetic_response(ROOM, rng.standard_normal(RATE // 2), RATE)
    reverberant, wet = reverberate(speech, response, "wet", RATE)
    same, early = reverberate(speech, response, "early", RATE)
    again, dry = reverberate(speech, response, "dry", RATE)
    np.testing.assert_array_equal(reverberant, wet)
    np.testing.assert_array_equal(reverberant, same)
    np.testing.assert_array_equal(reverberant, again)
    assert rms_db(reverberant) == pytest.approx(rms_db(speech), abs=0.01)
    scale = float(dry @ speech / (speech @ speech))
    np.testing.assert_allclose(dry, scale * speech, atol=1e-5)
    np.testing.assert_allclose(early, scale * np.convolve(speech, response[: round(EARLY_S * RATE)])[:RATE], atol=1e-4)
    assert rms_db(reverberant - dry) > rms_db(reverberant - early)


def test_clipping_cuts_at_a_level_below_the_peak() -> None:
    audio = np.sin(np.arange(1000) / 20).astype(np.float32)
    clipped = clip(audio, 6.0206)
    assert np.abs(clipped).max() == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_array_equal(clipped[np.abs(audio) < 0.49], audio[np.abs(audio) < 0.49])
    np.testing.assert_array_equal(clip(audio, 0), audio)


@pytest.mark.parametrize("codec", ["opus", "vorbis", "mp3"])
@pytest.mark.parametrize("level", [1.0, 0.001])
def test_codecs_return_the_sound_where_it_was_whatever_its_level(codec: str, level: float) -> None:
    rng = np.random.default_rng(3)
    noise = filters.apply_filters(rng.standard_normal(20011), filters.low_pass(1500, RATE))
    audio = (level * 0.2 * noise).astype(np.float32)
    coded = round_trip(audio, codec, 0.4, RATE)  # pyright: ignore[reportArgumentType]
    assert coded.shape == audio.shape
    assert coded.dtype == np.float32
    size = 1 << 16
    likeness = np.fft.irfft(np.fft.rfft(coded, size) * np.conj(np.fft.rfft(audio, size)), size)
    assert int(likeness.argmax()) == 0
    assert rms_db(audio) - rms_db(coded - audio) > 8
    assert not np.array_equal(coded, audio)
    assert not round_trip(np.zeros(100, np.float32), codec, 0.4, RATE).any()  # pyright: ignore[reportArgumentType]
    assert codec in codecs_at(RATE)


@pytest.mark.parametrize("part", ["dry", "early"])
def test_references_have_the_level_at_which_they_are_in_the_reverberant_speech(part: str) -> None:
    click = np.zeros(RATE, np.float32)  # its reverberation is the response, in which the parts can be read
    click[0] = 1
    response = synthetic_response(ROOM, np.random.default_rng(0).standard_normal(RATE // 2), RATE)
    reverberant, reference = reverberate(click, response, part, RATE)  # pyright: ignore[reportArgumentType]
    kept = 1 if part == "dry" else round(EARLY_S * RATE)
    np.testing.assert_allclose(reference[:kept], reverberant[:kept], atol=1e-6)
    assert np.abs(reference[kept:]).max() < 1e-6
    assert np.abs(reverberant[kept : RATE // 2]).max() > 1e-3


@pytest.mark.parametrize("codec", ["opus", "vorbis", "mp3"])
def test_more_compression_loses_more_of_the_sound(codec: str) -> None:
    audio = (0.05 * np.random.default_rng(3).standard_normal(RATE)).astype(np.float32)
    errors = [rms_db(round_trip(audio, codec, level, RATE) - audio) for level in (0.1, 0.5, 0.9)]  # pyright: ignore[reportArgumentType]
    assert errors[0] < errors[1] < errors[2]


def test_the_direct_path_is_first_though_reflections_together_are_stronger() -> None:
    response = np.array([0.01, 0.1, 1.0, 0.0, 1.3, 0.2])
    np.testing.assert_array_equal(direct_first(response), response[2:])
    for seed in range(300):  # in one of eighty, reflections that arrive together are stronger than the direct path
        room = draw_room(np.random.default_rng(seed), RATE)
        assert len(direct_first(room)) == len(room)
