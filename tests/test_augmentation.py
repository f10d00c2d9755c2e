"""Augmented sources: what recipes may say, what validation is, pairs mixed anew, and real noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.corpora import RATE, write_pair
from helpers.mixtures import mix, parts, share_below
from helpers.real import CORPUS, MISSING
from sordino.audio.mix import rms_db
from sordino.audio.sound_files import info, write
from sordino.data import sources
from sordino.data.augmentation import DEFAULT, NOTHING, Augmentation
from sordino.data.tools.render import render
from sordino.errors import InputError
from sordino.experiments.build import build_source
from sordino.experiments.recipe import read, read_data

# ---- recipes


def test_a_recipe_states_what_it_changes_and_mistakes_are_named() -> None:
    recipe = {"model": {"name": "unet"}, "data": {"name": "mix", "clean": ".", "noise": "."}}
    assert "augment" not in read(recipe).data.arguments
    changed = read(recipe, ["data.augment.rumble=0.9", "data.augment.bursts_db=[0, 6]"]).data
    assert changed.arguments["augment"] == {"rumble": 0.9, "bursts_db": (0.0, 6.0)}
    assert build_source(changed).mixing.augment == replace(DEFAULT, rumble=0.9, bursts_db=(0, 6))  # pyright: ignore[reportAttributeAccessIssue]
    assert build_source(read(recipe, ["data.augment=null"]).data).mixing.augment is None  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InputError, match=r"data\.augment\.rumbel: no such key; did you mean rumble"):
        read(recipe, ["data.augment.rumbel=0.9"])
    with pytest.raises(InputError, match=r"data\.augment\.hum: 'loud'; expected a number"):
        read(recipe, ["data.augment.hum=loud"])
    with pytest.raises(InputError, match=r"data\.augment: 3; expected a section or null"):
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
        data = read_data(name)
        source = sources.create(data.name, **data.arguments)
        assert source.mixing.augment is None  # pyright: ignore[reportAttributeAccessIssue]


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


@pytest.mark.skipif(not (CORPUS / "noise").is_dir(), reason=MISSING)
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
