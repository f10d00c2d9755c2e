"""Augmented items: functions of seed, epoch and index, sound whatever is drawn, and what each change does."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.corpora import RATE
from helpers.mixtures import mix, parts, share_below
from sordino.audio.mix import rms_db
from sordino.audio.rooms import reverberate
from sordino.audio.sound_files import write
from sordino.data.augmentation import DEFAULT, NOTHING, Augmentation
from sordino.data.augmentation_apply import Degrader, MixtureParts

CHANCES = [field.name for field in fields(Augmentation) if isinstance(field.default, float)]


CHANCES.remove("shaping_db")


UNTRIED = ("clean", "codec")  # the one makes nothing, the other takes its time


def sounds(length: int = RATE) -> MixtureParts:
    rng = np.random.default_rng(8)
    speech, noise = 0.1 * rng.standard_normal((2, length)).astype(np.float32)
    return MixtureParts(speech, speech, noise)


def more(rng: np.random.Generator, length: int) -> np.ndarray:
    return (0.02 * rng.standard_normal(length)).astype(np.float32)


def test_items_are_functions_of_seed_epoch_and_index(on_disk: Path) -> None:
    everything = replace(DEFAULT, **dict.fromkeys(CHANCES, 0.5))
    first, second = (mix(on_disk, augment=everything, babble=0.2).train(4) for _ in range(2))
    ids = set()
    for index in range(12):
        one = first[1, index]
        other = second[1, index] if index % 2 else mix(on_disk, augment=everything, babble=0.2).train(4)[1, index]
        assert one.id == other.id
        np.testing.assert_array_equal(one.noisy, other.noisy)
        np.testing.assert_array_equal(one.clean, other.clean)
        ids.add(one.id)
    assert not np.array_equal(first[1, 0].noisy, first[2, 0].noisy)


def test_without_augmentation_an_item_is_the_same_speech_and_noise(on_disk: Path) -> None:
    plain, nothing = (mix(on_disk, augment=augment).train(0) for augment in (None, NOTHING))
    for index in range(5):
        assert plain[0, index].id == nothing[0, index].id
        np.testing.assert_allclose(plain[0, index].noisy, nothing[0, index].noisy, atol=1e-6)
    clipped = mix(on_disk, augment=replace(NOTHING, clipping=1.0, clipping_db=(6, 6))).train(0)
    for index in range(5):  # one degradation more changes nothing else
        np.testing.assert_array_equal(clipped[0, index].clean, nothing[0, index].clean)
        assert np.abs(clipped[0, index].noisy).max() < 0.51 * np.abs(nothing[0, index].noisy).max()


def test_ratios_and_levels_are_reached_under_augmentation(on_disk: Path) -> None:
    augment = replace(DEFAULT, clipping=0.0, codec=0.0, rooms=0.5, band=0.3)
    train, levels, ratios = mix(on_disk, augment=augment).train(1), [], []
    for index in range(150):
        item = train[0, index]
        speech, noise = parts(item)
        if "none" in item.id:
            continue
        snr_db = float(item.id.rpartition("@")[2].removesuffix("dB"))
        assert rms_db(speech) - rms_db(noise) == pytest.approx(snr_db, abs=0.1)
        ratios.append(snr_db)
        levels.append(rms_db(item.noisy))
    assert min(ratios) < 0
    assert max(ratios) > 35
    assert -60.01 <= min(levels) < -50
    assert max(levels) < -9.99


def test_shares_without_noise_and_without_speech(on_disk: Path) -> None:
    train = mix(on_disk, augment=replace(NOTHING, clean=0.3, noise_only=0.2), segment_s=0.1, epoch_size=600).train(0)
    kinds = {"clean": 0, "noise": 0}
    for index in range(600):
        item = train[0, index]
        speech, noise = parts(item)
        if "+none" in item.id:
            kinds["clean"] += 1
            assert not noise.any()
        elif item.id.startswith("none+"):
            kinds["noise"] += 1
            assert not speech.any()
            assert np.any(noise)
    assert kinds["clean"] / 600 == pytest.approx(0.3, abs=0.06)
    assert kinds["noise"] / 600 == pytest.approx(0.2, abs=0.06)


def test_very_quiet_mixtures_are_not_quantised(on_disk: Path) -> None:
    loud, quiet = (
        mix(on_disk, augment=None, level_db=(level, level), snr_db=(40, 40)).train(0) for level in (-20, -60)
    )
    for index in range(5):
        (speech, _), (low_speech, low_noise) = parts(loud[0, index]), parts(quiet[0, index])
        np.testing.assert_allclose(low_speech * 100, speech, rtol=1e-5, atol=1e-9)
        assert rms_db(low_speech) - rms_db(low_noise) == pytest.approx(40, abs=0.05)


def test_rumble_and_hum_lie_over_the_noise_by_the_level_drawn() -> None:
    for name in ("rumble", "hum"):
        chances = replace(NOTHING, **{name: 1.0, f"{name}_db": (10.0, 10.0)})
        for seed in range(10):
            made = Degrader(chances, RATE)(np.random.default_rng(seed), sounds(), more, None, None)
            low = made.noisy - made.clean - sounds().noise * (made.clean[0] / sounds().speech[0])
            scaled = sounds().noise * (made.clean[0] / sounds().speech[0])
            assert rms_db(low) - rms_db(scaled) == pytest.approx(10, abs=0.1)
            assert share_below(low, 700) > 0.98


def test_rumble_lies_below_the_limit_drawn() -> None:
    for limit_hz in (15.0, 150.0):
        chances = replace(NOTHING, rumble=1.0, rumble_db=(60.0, 60.0), rumble_hz=(limit_hz, limit_hz))
        made = Degrader(chances, RATE)(np.random.default_rng(1), sounds(), more, None, None)
        low = made.noisy - made.clean
        assert share_below(low, 2 * limit_hz) > 0.95
        assert share_below(low, limit_hz / 3) < 0.7


def test_shaping_speech_shapes_its_reference_and_keeps_the_level() -> None:
    made = Degrader(replace(NOTHING, shaping=1.0), RATE)(np.random.default_rng(1), sounds(), more, 20.0, None)
    assert rms_db(made.clean) - rms_db(made.noisy - made.clean) == pytest.approx(20, abs=0.01)
    likeness = np.corrcoef(made.clean, sounds().speech)[0, 1]
    assert 0.2 < likeness < 0.999


@pytest.mark.parametrize("part", ["wet", "early", "dry"])
def test_a_band_limits_mixture_and_reference_and_a_room_obeys_its_part(part: str) -> None:
    chances = replace(NOTHING, rooms=1.0, reference=part)
    made = Degrader(chances, RATE)(np.random.default_rng(1), sounds(), more, 60.0, None)
    likeness = float(np.corrcoef(made.noisy, made.clean)[0, 1])
    assert (likeness > 0.999) == (part == "wet")
    assert likeness > 0.3
    banded = Degrader(replace(chances, band=1.0), RATE)(np.random.default_rng(4), sounds(), more, 60.0, None)
    assert share_below(banded.noisy, 7500) > 0.999
    assert share_below(banded.clean, 7500) > 0.999


def test_recorded_rooms_obey_the_reference_too(on_disk: Path, tmp_path: Path) -> None:
    response = np.random.default_rng(2).standard_normal(4000) * np.exp(-np.arange(4000) / 600)
    response[0] = 8
    write(tmp_path / "room.wav", response / 10, RATE, "FLOAT")
    arguments = {"impulse_responses": str(tmp_path), "reverb": 1.0, "level_db": None, "snr_db": (90, 90)}
    dry = mix(on_disk, augment=replace(NOTHING, reference="dry"), **arguments).train(0)[0, 3]
    wet = mix(on_disk, augment=NOTHING, **arguments).train(0)[0, 3]
    assert dry.clean is not None
    scale = np.abs(dry.noisy).max() / np.abs(wet.noisy).max()
    np.testing.assert_allclose(dry.noisy, wet.noisy * scale, atol=1e-4)
    reverberant, _ = reverberate(dry.clean, response / 10)
    assert np.corrcoef(reverberant, wet.noisy)[0, 1] > 0.999


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {name: st.sampled_from((0.0, 0.5, 1.0)) for name in CHANCES if name not in ("clean", "codec")}
    ),
    st.sampled_from(("dry", "early", "wet")),
    st.sampled_from((8000, 16000, 48000)),
    st.integers(700, 20000),
    st.floats(-60, -1),
    st.integers(0, 10**6),
)
def test_whatever_is_drawn_an_item_is_sound(
    chances: dict[str, float], part: str, rate: int, length: int, level_db: float, seed: int
) -> None:
    augment = Augmentation(**(chances | {"clean": 0.0, "codec": 0.1, "reference": part}))  # pyright: ignore[reportArgumentType]
    made = Degrader(augment, rate)(np.random.default_rng(seed), sounds(length), more, 3.0, level_db)
    for wave in (made.noisy, made.clean):
        assert wave.dtype == np.float32
        assert wave.shape == (length,)
        assert np.isfinite(wave).all()
        assert np.abs(wave).max() <= 1
    assert rms_db(made.noisy) <= level_db + 3


def test_a_codec_changes_the_mixture_and_not_its_reference() -> None:
    plain, coded = (
        Degrader(replace(NOTHING, codec=chance), RATE)(np.random.default_rng(2), sounds(), more, 5.0, -20.0)
        for chance in (0.0, 1.0)
    )
    np.testing.assert_array_equal(coded.clean, plain.clean)
    lost = coded.noisy - plain.noisy
    assert -40 < rms_db(lost) - rms_db(plain.noisy) < 0
