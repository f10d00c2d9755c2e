"""Augmented sources: what recipes may say, and what the items then are."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.corpora import write_pair
from sordino.audio.mix import rms_db
from sordino.audio.rooms import reverberate
from sordino.audio.sound_files import info, write
from sordino.data import sources
from sordino.data.augmentation import DEFAULT, NOTHING, Augmentation
from sordino.data.augmentation_apply import Degrader, MixtureParts
from sordino.data.tools.render import render
from sordino.errors import InputError
from sordino.experiments.build import build_source
from sordino.experiments.recipe import read, read_data
from sordino.types import Item

RATE = 16000
CORPUS = Path(__file__).resolve().parents[1] / "data" / "corpus"
CHANCES = [field.name for field in fields(Augmentation) if isinstance(field.default, float)]
CHANCES.remove("shaping_db")
UNTRIED = ("clean", "codec")  # the one makes nothing, the other takes its time


def mix(folders: Path, **arguments: object) -> sources.Mix:
    defaults = {"segment_s": 1.0, "epoch_size": 200}
    return sources.Mix(f"{folders}/clean", f"{folders}/noise", **(defaults | arguments))  # pyright: ignore[reportArgumentType]


def parts(item: Item) -> tuple[np.ndarray, np.ndarray]:
    """Speech and noise of an item."""
    assert item.clean is not None
    return item.clean, item.noisy - item.clean


def share_below(audio: np.ndarray, hz: float = 120) -> float:
    energy = np.square(np.abs(np.fft.rfft(audio * np.hanning(len(audio)))))
    return float(energy[np.fft.rfftfreq(len(audio), 1 / RATE) < hz].sum() / energy.sum())


def sounds(length: int = RATE) -> MixtureParts:
    rng = np.random.default_rng(8)
    speech, noise = 0.1 * rng.standard_normal((2, length)).astype(np.float32)
    return MixtureParts(speech, speech, noise)


def more(rng: np.random.Generator, length: int) -> np.ndarray:
    return (0.02 * rng.standard_normal(length)).astype(np.float32)


# ---- recipes


def test_a_recipe_states_what_it_changes_and_mistakes_are_named() -> None:
    recipe = {"model": {"name": "unet"}, "data": {"name": "mix", "clean": "c", "noise": "n"}}
    assert "augment" not in read(recipe).data.arguments
    changed = read(recipe, ["data.augment.rumble=0.9", "data.augment.bursts_db=[0, 6]"]).data
    assert changed.arguments["augment"] == {"rumble": 0.9, "bursts_db": (0.0, 6.0)}
    assert build_source(changed).mixing.augment == replace(DEFAULT, rumble=0.9, bursts_db=(0, 6))  # pyright: ignore[reportAttributeAccessIssue]
    assert build_source(read(recipe, ["data.augment=null"]).data).mixing.augment is None  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InputError, match=r"data\.augment\.rumbel: no such key; did you mean rumble"):
        read(recipe, ["data.augment.rumbel=0.9"])
    with pytest.raises(InputError, match=r"data\.augment\.hum: 'loud' is no float"):
        read(recipe, ["data.augment.hum=loud"])
    with pytest.raises(InputError, match=r"data\.augment: 3 is no"):
        read(recipe, ["data.augment=3"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rumble": 1.2}, r"augment\.rumble: 1\.2"),
        ({"rumble_db": (5, 1)}, r"augment\.rumble_db"),
        ({"rumble_hz": (5, 100)}, r"augment\.rumble_hz: .*between 10 and 400"),
        ({"reference": "damp"}, r"augment\.reference.*dry, early, wet"),
        ({"clean": 0.6, "noise_only": 0.6}, "a sum of at most 1"),
        ({"clipping_db": (-3, 1)}, "0 or more dB"),
        ({"shaping_db": -1}, "shaping_db"),
    ],
)
def test_chances_and_ranges_that_make_no_sense_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Augmentation(**arguments)  # pyright: ignore[reportArgumentType]


def test_published_recipes_are_not_augmented() -> None:
    for name in ("valentini/manner-s-1.5gf", "dns/manner-s-1.5gf"):
        source = build_source(read_data(name))
        assert source.mixing.augment is None  # pyright: ignore[reportAttributeAccessIssue]


# ---- items


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


# ---- validation


def test_validation_is_fixed_shaped_alike_and_spread(on_disk: Path) -> None:
    source = mix(on_disk, augment=replace(DEFAULT, noise_only=0.9, clean=0.05), valid_items=24)
    items = list(source.valid())
    for item, again in zip(items, source.valid(), strict=True):
        np.testing.assert_array_equal(item.noisy, again.noisy)
        assert item.clean is not None
        assert rms_db(item.clean) > -70
    mixed = [item.id for item in items if "none" not in item.id]
    ratios = sorted(float(id.rpartition("@")[2].removesuffix("dB")) for id in mixed)
    assert max(np.diff(ratios)) < 6
    assert ratios[0] < 0
    assert ratios[-1] > 35
    plain = mix(on_disk, augment=None, valid_items=24).valid()
    assert any(not np.array_equal(item.clean, other.clean) for item, other in zip(items, plain, strict=True))


def test_kinds_of_noise_take_turns_in_validation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        write(tmp_path / "clean" / f"s{number}" / "a.wav", 0.1 * rng.standard_normal(4000), RATE)
    for number in range(300):
        kind = "rain" if number < 250 else f"kind{number % 4}"
        write(tmp_path / "noise" / kind / f"{kind}-{number}.wav", 0.1 * rng.standard_normal(4000), RATE)
    items = mix(tmp_path, valid_items=40, augment=NOTHING).valid()
    kinds = [item.id.partition("+")[2].partition("-")[0] for item in items]
    counts = [kinds.count(kind) for kind in set(kinds)]
    assert len(counts) > 2
    assert max(counts) - min(counts) <= 1


# ---- pairs, renderings, real noise


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for number in range(6):
        write_pair(tmp_path, f"s{number}_1.wav", number, 1.0, RATE)
    return tmp_path


def test_pairs_are_taken_apart_and_mixed_anew(pairs: Path) -> None:
    folders = {"noisy": f"{pairs}/noisy", "clean": f"{pairs}/clean", "segment_s": 0.5, "stride_s": 0.5}
    plain = sources.Pairs(**folders)  # pyright: ignore[reportArgumentType]
    anew = sources.Pairs(**folders, snr_db=(0, 0), level_db=(-40, -40))  # pyright: ignore[reportArgumentType]
    for index in range(4):
        speech, noise = parts(anew.train(0)[0, index])
        assert rms_db(speech) == pytest.approx(rms_db(noise), abs=0.05)
        assert rms_db(speech + noise) == pytest.approx(-40, abs=0.01)
        old_speech, old_noise = parts(plain.train(0)[0, index])
        assert np.corrcoef(noise, old_noise)[0, 1] > 0.999
        assert np.corrcoef(speech, old_speech)[0, 1] > 0.999
    low = sources.Pairs(**folders, augment={"rumble": 1.0, "noise_only": 1.0, "clean": 0.0})  # pyright: ignore[reportArgumentType]
    assert not parts(low.train(0)[0, 0])[0].any()
    for item, other in zip(low.valid(), plain.valid(), strict=True):
        assert parts(item)[0].any()
        assert share_below(parts(item)[1]) > share_below(parts(other)[1])
    with pytest.raises(InputError, match=r"augment: needs clean recordings"):
        sources.Pairs(f"{pairs}/noisy", augment=DEFAULT)


def test_quiet_mixtures_are_rendered_in_24_bits(on_disk: Path, tmp_path: Path) -> None:
    source = mix(on_disk, level_db=(-60, -10), valid_items=2, cache=False)
    render(source, tmp_path, 20 / 3600, workers=1)
    depths = set()
    for index in range(20):
        (noisy,) = (tmp_path / "noisy").rglob(f"*_fileid_{index}.flac")
        level_db = int(noisy.stem.rpartition("_tl")[2].partition("_")[0])
        depth = info(noisy).subtype
        assert depth == ("PCM_24" if level_db < -40 else "PCM_16") or level_db == -40
        depths.add(depth)
    assert depths == {"PCM_16", "PCM_24"}


@pytest.mark.skipif(not (CORPUS / "noise").is_dir(), reason="needs the corpus of real speech and noise in data/corpus")
def test_real_noise_gets_as_low_as_real_recordings_have_it() -> None:
    def shares(augment: Augmentation | None) -> np.ndarray:
        source = sources.Mix(
            f"{CORPUS}/clean", f"{CORPUS}/noise", segment_s=2.0, augment=augment, epoch_size=160, cache=False
        )
        train = source.train(0)
        noises = [parts(train[0, index])[1] for index in range(160)]
        return np.array([share_below(noise) for noise in noises if noise.any()])

    before, after = shares(None), shares(replace(DEFAULT, clean=0.0, clipping=0.0, codec=0.0))
    assert np.median(before) < 0.1
    assert np.median(after) > 0.2
    assert np.mean(after > 0.79) > 3 * np.mean(before > 0.79)
