"""Speech and noise mixed on the fly: ratios and levels, babble, what is drawn, and what is held out."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from helpers.noise import hiss
from helpers.real import CORPUS, MISSING
from sordino.audio.mix import rms_db
from sordino.audio.sound_files import write
from sordino.data import sources
from sordino.data.mixer import Mixer
from sordino.data.mixing import Mixing
from sordino.data.names import held_out, recording_of, speaker_of
from sordino.data.recordings import Recordings, audio_below
from sordino.data.sources.synthetic import MemoryRecordings
from sordino.data.voices import KINDS
from sordino.errors import InputError


def test_mixtures_hold_their_ratio_and_level(on_disk):
    ranges = {"snr_db": (-5, 20), "level_db": (-30, -20), "augment": None}
    source = sources.Mix(f"{on_disk}/clean", f"{on_disk}/noise", segment_s=1.5, **ranges)
    train = source.train(0)
    for index in range(len(train)):
        item = train[0, index]
        assert item.clean is not None
        snr_db = float(item.id.rpartition("@")[2].removesuffix("dB"))
        assert -5 <= snr_db <= 20
        assert rms_db(item.clean) - rms_db(item.noisy - item.clean) == pytest.approx(snr_db, abs=0.06)
        assert -30.01 <= rms_db(item.noisy) <= -19.99
        assert np.abs(item.noisy).max() <= 0.9901


def test_an_epoch_sweeps_over_all_speech(on_disk):
    source = sources.Mix(f"{on_disk}/clean", f"{on_disk}/noise", segment_s=1.0, augment=None)
    train = source.train(0)
    drawn = {train[0, index].id.partition("+")[0] for index in range(len(train))}
    held = {item.speaker for item in source.valid()}
    expected = {path.stem for path in audio_below(f"{on_disk}/clean") if path.parent.name not in held}
    assert drawn == expected
    assert len(sources.Mix(f"{on_disk}/clean", f"{on_disk}/noise", epoch_size=7).train(0)) == 7


def test_the_split_is_by_the_checksum_of_names():
    speakers = [f"speaker{number}" for number in range(60)]
    chosen = {name for name in speakers if zlib.crc32(name.encode()) % 20 == 0}
    assert chosen
    assert held_out(speakers, 20) == chosen
    assert len(held_out(["a", "b"], 1000)) == 1
    assert len(held_out(["a", "b"], 1)) == 1
    assert len(held_out(speakers, 1000)) == 4, "of many names, at least four"
    assert len(held_out([f"n{number}" for number in range(9)], 1000)) == 2, "of few, a quarter"
    assert held_out(speakers, 20, chosen).isdisjoint(chosen)
    assert recording_of(Path("kitchen_03.flac")) == recording_of(Path("kitchen_11.flac")) == "kitchen"
    assert recording_of(Path("1-22694-B.flac")) == recording_of(Path("1-22694-A.flac")) == "1-22694"
    assert recording_of(Path("1-22694-A-20.wav")) == recording_of(Path("1-22694-B-20_02.wav")) == "1-22694"
    assert recording_of(Path("door_427012_4.wav")) == "door_427012_4"
    dns = "fan_Freesound_validated_361372"
    assert recording_of(Path(f"{dns}_3.wav")) == recording_of(Path(f"{dns}_19.wav")) == dns
    assert recording_of(Path("100032-3-0-12.wav")) == "100032"
    assert (
        recording_of(Path("demand/DKITCHEN/ch01.wav")) == recording_of(Path("demand/DKITCHEN/ch16.wav")) == "DKITCHEN"
    )
    assert speaker_of(Path("/a/p226/x_1.wav"), "/a") == "p226"
    assert speaker_of(Path("/a/p226_001.wav"), "/a") == "p226"
    assert speaker_of(Path("/a/book_0_reader_067_seg_1.wav"), "/a") == "reader_067"


def test_one_voice_is_split_by_utterance_and_one_noise_is_refused(tmp_path):
    for number in range(6):
        write(tmp_path / "clean" / "me" / f"{number}.wav", hiss(1, seed=number), 16000)
    write(tmp_path / "noise" / "fan_00.wav", hiss(1, seed=50), 16000)
    write(tmp_path / "noise" / "fan_01.wav", hiss(1, seed=51), 16000)
    source = sources.Mix(f"{tmp_path}/clean", f"{tmp_path}/noise", segment_s=0.5)
    with pytest.raises(InputError, match="holds 1 noise recording; expected at least 2"):
        source.train(0)
    write(tmp_path / "noise" / "rain.wav", hiss(1, seed=52), 16000)
    source = sources.Mix(f"{tmp_path}/clean", f"{tmp_path}/noise", segment_s=0.5)
    train = source.train(0)
    drawn = {train[0, index].id.partition("+")[0] for index in range(len(train))}
    assert drawn.isdisjoint({item.id.partition("+")[0] for item in source.valid()})


def test_a_test_of_ones_own_noise_has_what_neither_training_nor_validation_has(tmp_path):
    for number in range(12):
        write(tmp_path / "clean" / f"speaker{number}" / "a.wav", hiss(1, seed=number), 16000)
        write(tmp_path / "noise" / f"noise{number}.wav", hiss(1, seed=50 + number), 16000)
    clean, noise = f"{tmp_path}/clean", f"{tmp_path}/noise"
    source = sources.Mix(clean, noise, segment_s=0.5, test_items=9, valid_items=9, augment=None)
    parts = {
        "train": [source.train(0)[divmod(i, 12)] for i in range(60)],
        "valid": source.valid(),
        "test": source.test(),
    }
    noises = {name: {item.id.partition("+")[2].partition("@")[0] for item in items} for name, items in parts.items()}
    speakers = {name: {item.speaker for item in items} for name, items in parts.items()}
    for found in (noises, speakers):
        assert len(found["valid"]) == len(found["test"]) == 3
        assert len(found["train"] | found["valid"] | found["test"]) == sum(map(len, found.values()))
    assert [item.id for item in source.test()] == [item.id for item in parts["test"]]
    with pytest.raises(InputError, match="test_items: stands beside test_noisy"):
        sources.Mix(clean, noise, test_items=9, test_noisy=noise, test_clean=clean)
    pairs = sources.Pairs(clean, clean, test_fraction=0.1, segment_s=0.5)
    ids = {split: {pair.id for pair in pairs.pairs(split)} for split in ("train", "valid", "test")}
    assert {split: len(found) for split, found in ids.items()} == {"train": 6, "valid": 3, "test": 3}
    assert len(set.union(*ids.values())) == 12
    assert {item.id for item in pairs.test()} == ids["test"]


def tones(talkers: int, seconds: float) -> Mixer:
    """Speaker number n says 500 (n + 1) Hz."""
    time = np.arange(round(16000 * seconds)) / 16000
    speech = [(0.1 * np.sin(2 * np.pi * 500 * (n + 1) * time)).astype(np.float32) for n in range(talkers)]
    names = [str(n) for n in range(talkers)]
    return Mixer(
        MemoryRecordings(speech),
        names,
        names,
        MemoryRecordings([hiss(1)]),
        ["white"],
        16000,
        Mixing((0, 0), babble=1.0),
    )


def test_babble_is_three_to_eight_other_talkers():
    train = tones(12, 3.0).segments(0, 2.0)
    for index in range(len(train)):
        item = train[0, index]
        assert item.clean is not None
        spectrum = np.abs(np.fft.rfft(item.noisy - item.clean))[1000 : 12 * 1000 + 1 : 1000]
        talking = np.flatnonzero(spectrum > 0.2 * spectrum.max())
        assert 3 <= len(talking) <= 8
        assert int(item.speaker) not in talking
    with pytest.raises(InputError, match="babble"):
        tones(3, 1.0)


def test_short_utterances_go_on_with_the_same_speaker():
    item = tones(5, 0.7).segments(0, 4.0)[0, 0]
    assert item.clean is not None
    quiet = np.abs(np.lib.stride_tricks.sliding_window_view(item.clean, 800)).max(axis=1) == 0
    assert 0.05 < quiet.mean() < 0.5
    spectrum = np.abs(np.fft.rfft(item.clean))
    assert spectrum.argmax() / 4 == pytest.approx(500 * (int(item.speaker) + 1), abs=2)
    assert item.length == 64000


def test_excluded_names_and_unlisted_files_are_left_out(on_disk, tmp_path):
    kinds = {path.parent.name for path in audio_below(f"{on_disk}/noise", ["hum", "*/cl*"])}
    assert kinds == set(KINDS) - {"hum", "clicks"}
    with pytest.raises(InputError, match="left out"):
        audio_below(f"{on_disk}/noise", ["*"])
    with pytest.raises(InputError, match="no such manifest"):
        audio_below(f"{on_disk}/noise", manifest=str(tmp_path / "absent.csv"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"snr_db": (10, 0)}, "snr_db"),
        ({"level_db": (-10, 3)}, "level_db"),
        ({"tempo": (0.1, 1.0)}, "tempo"),
        ({"babble": 1.5}, "babble"),
    ],
)
def test_ranges_that_make_no_sense_are_reported_at_once(arguments, words):
    with pytest.raises(InputError, match=words):
        sources.Mix("clean", "noise", **arguments)


def test_other_rates_and_missing_folders_are_reported(on_disk, tmp_path):
    write(tmp_path / "a_1.wav", np.stack([hiss(1), hiss(1)]), 8000)
    with pytest.raises(InputError, match=r"8000 Hz; expected 16000 Hz; .*sordino data prepare"):
        Recordings([tmp_path / "a_1.wav"], 16000)
    with pytest.raises(InputError, match="no such folder"):
        sources.Mix("/absent/clean", "/absent/noise").train(0)
    for name, value in (("segment_s", 0.0), ("epoch_size", 0), ("valid_items", 0)):
        source = sources.Mix(f"{on_disk}/clean", f"{on_disk}/noise", **{name: value})
        with pytest.raises(InputError, match=name):
            _ = source.train(0), source.valid()
    with pytest.raises(InputError, match="no test set"):
        sources.Mix(f"{on_disk}/clean", f"{on_disk}/noise").test()


@pytest.mark.skipif(not CORPUS.is_dir(), reason=MISSING)
def test_the_shared_corpus_is_split_as_its_readme_says():
    source = sources.Mix(
        str(CORPUS / "clean"), str(CORPUS / "noise"), exclude=("esc50-cc0",), segment_s=2.0, valid_items=8
    )
    speech, noise = source.files
    assert not any("esc50-cc0" in path.parts for path, _ in noise)
    for path, split in speech:
        assert (split == "valid") == (zlib.crc32(path.parent.name.encode()) % 20 == 0)
    for path, split in noise:
        assert (split == "valid") == (zlib.crc32(recording_of(path).encode()) % 10 == 0)
    train = source.train(0)
    assert train[0, 0].noisy.shape == (32000,)
    assert {item.speaker for item in source.valid()}.isdisjoint({train[0, i].speaker for i in range(0, len(train), 60)})
