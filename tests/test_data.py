"""Sources, segments and batches: what they hold, that they repeat exactly, and that nothing leaks between splits."""

from __future__ import annotations

import math
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.noise import hiss
from sordino.audio.mix import rms_db
from sordino.audio.sound_files import info, read_mono, write
from sordino.audio.tempo import stretch
from sordino.data import base, sources
from sordino.data.base import LazySequence, Segments
from sordino.data.loader import EpochBatches, collate, loader
from sordino.data.mixer import Mixer
from sordino.data.mixing import Mixing
from sordino.data.names import held_out, recording_of, speaker_of
from sordino.data.recordings import Recordings, audio_below, pair_files
from sordino.data.sources.synthetic import MemoryRecordings
from sordino.data.voices import KINDS, Voice, make_noise, speak
from sordino.errors import InputError
from sordino.types import Item

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"


def same(first: Item, second: Item) -> bool:
    assert first.clean is not None
    assert second.clean is not None
    return (
        first.id == second.id
        and np.array_equal(first.noisy, second.noisy)
        and np.array_equal(first.clean, second.clean)
    )


@pytest.fixture(scope="module")
def embedded() -> sources.Synthetic:
    return sources.Synthetic(segment_s=1.0, tempo=(0.9, 1.1))


@pytest.fixture(scope="module")
def folders(tmp_path_factory, embedded) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    embedded.write(folder)
    return folder


@pytest.fixture
def mix(folders) -> sources.Mix:
    return sources.Mix(
        f"{folders}/clean", f"{folders}/noise", f"{folders}/test/noisy", f"{folders}/test/clean",
        segment_s=1.0, tempo=(0.9, 1.1), babble=0.3, valid_items=5,
    )  # fmt: skip


def write_pair(root: Path, part: str, name: str, seconds: float, seed: int = 0) -> None:
    clean, noise = hiss(seconds, seed=seed), hiss(seconds, seed=seed + 1000)
    write(root / f"clean_{part}_wav" / f"{name}.wav", clean, 16000)
    write(root / f"noisy_{part}_wav" / f"{name}.wav", clean + noise, 16000)


@pytest.fixture
def valentini(tmp_path) -> Path:
    lengths = {"p226_001": 2.0, "p226_002": 4.0, "p227_001": 4.5, "p228_003": 6.2, "p282_001": 2.5, "p287_001": 1.5}
    for seed, (name, seconds) in enumerate(lengths.items()):
        write_pair(tmp_path, "trainset_28spk", name, seconds, seed)
    for seed, name in enumerate(("p232_001", "p257_001")):
        write_pair(tmp_path, "testset", name, 1.5, 50 + seed)
    return tmp_path


# ---- what every source promises


def every_source(mix: sources.Mix, embedded: sources.Synthetic, valentini: Path) -> list[base.Source]:
    pairs = valentini / "noisy_trainset_28spk_wav", valentini / "clean_trainset_28spk_wav"
    return [
        mix,
        embedded,
        sources.Valentini(str(valentini), tempo=(0.9, 1.1)),
        sources.Pairs(str(pairs[0]), str(pairs[1]), tempo=(0.8, 1.2)),
    ]


def test_items_depend_on_seed_epoch_and_index_alone(mix, embedded, valentini):
    for source in every_source(mix, embedded, valentini):
        assert isinstance(source, base.Source)
        train = source.train(seed=3)
        chosen = list(range(min(4, len(train))))
        first = [train[2, index] for index in chosen]
        sent = pickle.loads(pickle.dumps(train))
        again = [sent[2, index] for index in reversed(chosen)][::-1]
        assert all(map(same, first, again)), source.name
        assert not any(same(a, train[3, index]) for index, a in enumerate(first))
        assert not any(same(a, b) for a, b in zip(first, [source.train(4)[2, i] for i in chosen], strict=True))
        for item in first:
            assert item.noisy.dtype == np.float32
            assert item.clean is not None
            assert item.clean.dtype == np.float32
            assert item.noisy.shape == item.clean.shape == first[0].noisy.shape
            assert 0 < item.length <= len(item.noisy)
            assert not item.noisy[item.length :].any()
        with pytest.raises(IndexError):
            train[0, len(train)]


def test_validation_and_test_items_never_change(mix, embedded, valentini):
    for source in every_source(mix, embedded, valentini)[:3]:
        for part in (source.valid, source.test):
            items = list(part())
            assert items
            assert all(map(same, items, part()))
            assert all(item.length == len(item.noisy) for item in items)


def test_lazy_items_are_a_sequence():
    made = []

    def make(index: int) -> Item:
        made.append(index)
        return Item(np.zeros(index), None, index, str(index))

    items = LazySequence(10, make)
    assert made == []
    assert [item.id for item in items[7:]] == ["7", "8", "9"]
    assert items[-1].id == "9"
    with pytest.raises(IndexError):
        items[10]


def test_create_names_the_nearest_source():
    assert isinstance(sources.create("synthetic", segment_s=1.0), sources.Synthetic)
    with pytest.raises(InputError, match="did you mean valentini"):
        sources.create("valentiny")


# ---- order and batches


def test_an_epoch_visits_every_item_once_and_resumes_anywhere():
    batches = list(EpochBatches(103, 8, seed=1, epoch=5))
    assert len(batches) == len(EpochBatches(103, 8, 1, 5)) == 12
    keys = [key for batch in batches for key in batch]
    assert {epoch for epoch, _ in keys} == {5}
    assert len({index for _, index in keys}) == 96
    assert list(EpochBatches(103, 8, 1, 5, start_batch=7)) == batches[7:]
    assert list(EpochBatches(103, 8, 1, 5, start_batch=12)) == []
    assert list(EpochBatches(103, 8, 1, 6)) != batches
    assert list(EpochBatches(103, 8, 2, 5)) != batches


def test_processes_share_an_epoch_without_overlap():
    parts = [list(EpochBatches(103, 8, 1, 0, rank=rank, ranks=3)) for rank in range(3)]
    assert [len(part) for part in parts] == [4, 4, 4]
    keys = [key for part in parts for batch in part for key in batch]
    assert len(set(keys)) == len(keys) == 96
    assert list(EpochBatches(103, 8, 1, 0, start_batch=2, rank=1, ranks=3)) == parts[1][2:]


def test_batches_are_padded_and_know_which_items_have_references():
    items = [
        Item(hiss(0.01), hiss(0.01, seed=1), 160, "a"),
        Item(hiss(0.02), hiss(0.02, seed=1), 320, "b"),
    ]
    batch = collate(items)
    assert batch.noisy.shape == (2, 320)
    assert batch.noisy.dtype == torch.float32
    assert not batch.noisy[0, 160:].any()
    assert batch.lengths.tolist() == [160, 320]
    assert tuple(batch.ids) == ("a", "b")
    assert batch.labelled is None
    partly = collate([items[0]._replace(clean=None), items[1]])
    assert partly.clean is not None
    assert partly.labelled is not None
    assert partly.labelled.tolist() == [1]
    assert torch.equal(partly.part(partly.labelled).noisy, batch.noisy[1:])
    assert partly.part(partly.labelled).ids == ("b",)
    without = collate([item._replace(clean=None) for item in items])
    assert without.clean is None
    assert without.labelled is not None
    assert without.labelled.tolist() == []


def test_worker_processes_change_nothing(mix):
    train = mix.train(0)
    here = list(loader(train, 4, 0, 1, start_batch=1))[:3]
    there = list(loader(train, 4, 0, 1, start_batch=1, workers=2))[:3]
    for first, second in zip(here, there, strict=True):
        assert first.ids == second.ids
        assert torch.equal(first.noisy, second.noisy)
        assert torch.equal(first.clean, second.clean)
    with pytest.raises(InputError, match="smaller batch_size"):
        next(loader(train, 4000, 0, 0))


def broken_recording(_rng: np.random.Generator, index: int) -> Item:
    raise InputError(f"take{index}.wav", "holds NaN samples")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_recording_is_reported_from_a_worker_too(workers: int) -> None:
    with pytest.raises(InputError, match=r"^take\d\.wav: holds NaN samples$"):
        next(loader(Segments(4, 0, broken_recording), 2, 0, 0, workers=workers))


# ---- mixing on the fly


def test_mixtures_hold_their_ratio_and_level(folders):
    ranges = {"snr_db": (-5, 20), "level_db": (-30, -20), "augment": None}
    source = sources.Mix(f"{folders}/clean", f"{folders}/noise", segment_s=1.5, **ranges)
    train = source.train(0)
    for index in range(len(train)):
        item = train[0, index]
        assert item.clean is not None
        snr_db = float(item.id.rpartition("@")[2].removesuffix("dB"))
        assert -5 <= snr_db <= 20
        assert rms_db(item.clean) - rms_db(item.noisy - item.clean) == pytest.approx(snr_db, abs=0.06)
        assert -30.01 <= rms_db(item.noisy) <= -19.99
        assert np.abs(item.noisy).max() <= 0.9901


def test_an_epoch_sweeps_over_all_speech(folders):
    source = sources.Mix(f"{folders}/clean", f"{folders}/noise", segment_s=1.0, augment=None)
    train = source.train(0)
    drawn = {train[0, index].id.partition("+")[0] for index in range(len(train))}
    held = {item.speaker for item in source.valid()}
    expected = {path.stem for path in audio_below(f"{folders}/clean") if path.parent.name not in held}
    assert drawn == expected
    assert len(sources.Mix(f"{folders}/clean", f"{folders}/noise", epoch_size=7).train(0)) == 7


def test_cache_changes_nothing(folders):
    kept, read = (
        sources.Mix(f"{folders}/clean", f"{folders}/noise", segment_s=1.0, cache=cache) for cache in (True, False)
    )
    assert all(same(kept.train(0)[0, index], read.train(0)[0, index]) for index in (0, 5, 9))


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


def test_excluded_names_and_unlisted_files_are_left_out(folders, tmp_path):
    kinds = {path.parent.name for path in audio_below(f"{folders}/noise", ["hum", "*/cl*"])}
    assert kinds == set(KINDS) - {"hum", "clicks"}
    with pytest.raises(InputError, match="left out"):
        audio_below(f"{folders}/noise", ["*"])
    with pytest.raises(InputError, match="no such manifest"):
        audio_below(f"{folders}/noise", manifest=str(tmp_path / "absent.csv"))


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


def test_other_rates_and_missing_folders_are_reported(folders, tmp_path):
    write(tmp_path / "a_1.wav", np.stack([hiss(1), hiss(1)]), 8000)
    with pytest.raises(InputError, match=r"8000 Hz; expected 16000 Hz; .*sordino data prepare"):
        Recordings([tmp_path / "a_1.wav"], 16000)
    with pytest.raises(InputError, match="no such folder"):
        sources.Mix("/absent/clean", "/absent/noise").train(0)
    for name, value in (("segment_s", 0.0), ("epoch_size", 0), ("valid_items", 0)):
        source = sources.Mix(f"{folders}/clean", f"{folders}/noise", **{name: value})
        with pytest.raises(InputError, match=name):
            _ = source.train(0), source.valid()
    with pytest.raises(InputError, match="no test set"):
        sources.Mix(f"{folders}/clean", f"{folders}/noise").test()


# ---- pairs


def test_segments_are_four_seconds_every_second_as_published(valentini):
    source = sources.Valentini(str(valentini))
    train = source.train(0)
    # 2 s, 4 s: one padded or exact segment each; 4.5 s: two; 6.2 s: four, as ceil((T - 4) / 1) + 1 says.
    items = [train[0, index] for index in range(len(train))]
    assert [item.id for item in items] == ["p226_001", "p226_002", *["p227_001"] * 2, *["p228_003"] * 4]
    assert [item.length for item in items] == [32000, 64000, 64000, 56000, 64000, 64000, 64000, 51200]
    whole = read_mono(valentini / "noisy_trainset_28spk_wav" / "p228_003.wav", 16000)
    np.testing.assert_array_equal(items[5].noisy, whole[16000:80000])
    np.testing.assert_array_equal(items[7].noisy[:51200], whole[48000:])
    assert {item.speaker for item in source.valid()} == {"p282", "p287"}
    assert [item.id for item in source.test()] == ["p232_001", "p257_001"]


def test_no_segment_lies_behind_the_end_of_a_recording(valentini):
    """Segments of 0.5 s every 2 s: recordings of 2 s and 4 s have none at 2 s and 4 s, that of 4.5 s a third."""
    train = sources.Valentini(str(valentini), segment_s=0.5, stride_s=2.0).train(0)
    items = [train[0, index] for index in range(len(train))]
    assert [item.id[-8:] for item in items] == [*["p226_001"], *["p226_002"] * 2, *["p227_001"] * 3, *["p228_003"] * 4]
    assert [item.length for item in items] == [8000] * 9 + [3200]


@pytest.mark.parametrize("tempo", [0.9, 1.1])
def test_tempo_changes_the_speech_and_keeps_the_noise(valentini, tempo):
    train = sources.Valentini(str(valentini), tempo=(tempo, tempo)).train(0)
    plain = sources.Valentini(str(valentini)).train(0)
    for index in (0, 1, 4):
        changed, kept = train[0, index], plain[0, index]
        assert changed.clean is not None
        assert kept.clean is not None
        noise = (kept.noisy - kept.clean)[: changed.length]
        np.testing.assert_allclose((changed.noisy - changed.clean)[: changed.length], noise, atol=1e-6)
        assert changed.noisy.shape == kept.noisy.shape
    # A full segment from the middle of a file stays full: enough speech is read for the stretch.
    assert train[0, 4].length == 64000
    whole = read_mono(valentini / "clean_trainset_28spk_wav" / "p228_003.wav", 16000)
    expected = stretch(whole[: math.ceil(64000 * max(tempo, 1))], tempo)[:64000]
    clean = train[0, 4].clean
    assert clean is not None
    np.testing.assert_array_equal(clean[: len(expected)], expected)


def test_leaks_between_the_sets_are_errors(valentini):
    write_pair(valentini, "testset", "p227_009", 1.0)
    with pytest.raises(InputError, match="p227 speak in the training set and in the test set"):
        sources.Valentini(str(valentini)).train(0)
    with pytest.raises(InputError, match="p232 not among the training speakers"):
        sources.Valentini(str(valentini), valid_speakers=("p232",)).valid()
    with pytest.raises(InputError, match="28 or 56"):
        sources.Valentini(str(valentini), speakers=30)


def test_a_missing_partner_and_unequal_lengths_are_reported(valentini):
    orphan = valentini / "noisy_trainset_28spk_wav" / "p226_001.wav"
    (valentini / "clean_trainset_28spk_wav" / "p226_001.wav").unlink()
    with pytest.raises(InputError, match=r"no partner.*1 of 6") as caught:
        sources.Valentini(str(valentini)).train(0)
    assert str(caught.value).startswith(str(orphan))
    write(valentini / "clean_trainset_28spk_wav" / "p226_001.wav", hiss(1.0), 16000)
    with pytest.raises(InputError, match="32000 samples long and its clean partner 16000"):
        sources.Valentini(str(valentini)).train(0)


def test_pairs_hold_out_speakers_or_else_recordings(tmp_path):
    for speaker in range(12):
        for number in range(2):
            for side in ("noisy", "clean"):
                write(tmp_path / side / f"s{speaker}_{number}.flac", hiss(0.5, seed=speaker), 16000)
    source = sources.Pairs(f"{tmp_path}/noisy", f"{tmp_path}/clean", valid_fraction=0.25, segment_s=0.5)
    train = source.train(0)
    trained = {train[0, index].speaker for index in range(len(train))}
    validated = {item.speaker for item in source.valid()}
    assert trained
    assert validated
    assert trained.isdisjoint(validated)
    assert trained | validated == {f"s{number}" for number in range(12)}
    alone = sources.Pairs(f"{tmp_path}/noisy", segment_s=0.5)
    assert alone.train(0)[0, 0].clean is None
    assert collate([alone.train(0)[0, 0]]).clean is None
    with pytest.raises(InputError, match="tempo"):
        sources.Pairs("noisy", tempo=(0.9, 1.1))


def test_dns_names_pair_by_file_id(tmp_path):
    for number in (3, 12):
        write(
            tmp_path / "noisy" / f"clnsp1_train_snr15_tl-32_fileid_{number}.wav",
            hiss(0.1, seed=number),
            16000,
        )
        write(tmp_path / "clean" / f"clean_fileid_{number}.wav", hiss(0.1, seed=number), 16000)
    found = pair_files(tmp_path / "noisy", tmp_path / "clean")
    assert [(id, clean.name) for id, _, clean in found] == [
        ("fileid_12", "clean_fileid_12.wav"),
        ("fileid_3", "clean_fileid_3.wav"),
    ]
    write(tmp_path / "clean" / "other_fileid_3.wav", hiss(0.1), 16000)
    with pytest.raises(InputError, match="same name"):
        pair_files(tmp_path / "noisy", tmp_path / "clean")


@pytest.mark.parametrize("home", ["test_set", "datasets/test_set"])
def test_dns_reads_its_layout(tmp_path, home):
    for reader in range(30):
        name = f"book_00{reader}_chp_0001_reader_{reader:05d}_1_seg_0.wav"
        write(tmp_path / "datasets" / "clean" / name, hiss(0.5, seed=reader), 16000)
    for number in range(3):
        write(tmp_path / "datasets" / "noise" / f"door_{number}.wav", hiss(0.3, seed=70 + number), 16000)
    for side, name in (("noisy", "clnsp_snr5_fileid_0.wav"), ("clean", "clean_fileid_0.wav")):
        write(tmp_path / home / "synthetic" / "no_reverb" / side / name, hiss(0.5), 16000)
    source = sources.Dns(str(tmp_path), hours=0.01, segment_s=1.0, valid_items=3)
    train = source.train(0)
    assert len(train) == 36
    assert {train[0, index].speaker for index in range(36)}.isdisjoint({item.speaker for item in source.valid()})
    assert [item.id for item in source.test()] == ["fileid_0"]
    assert not source.synthetic


# ---- the embedded corpus


def test_the_embedded_corpus_says_what_it_is_and_shares_no_voice(embedded):
    assert embedded.synthetic
    train = embedded.train(0)
    drawn = {train[0, index].speaker for index in range(len(train))}
    validated, tested = ({item.speaker for item in part()} for part in (embedded.valid, embedded.test))
    assert drawn.isdisjoint(validated)
    assert (drawn | validated).isdisjoint(tested)
    assert len(drawn) == 10
    assert not same(embedded.test()[0], sources.Synthetic(seed=1).test()[0])


def test_the_embedded_corpus_on_disk_is_read_by_mix(mix, embedded, folders):
    assert [item.id for item in mix.test()] == [f"{item.speaker}_{n:02d}" for n, item in enumerate(embedded.test())]
    for disk, memory in zip(mix.test(), embedded.test(), strict=True):
        np.testing.assert_allclose(disk.noisy, memory.noisy, atol=1 / 32768)
    seconds = sum(info(path).seconds for path in audio_below(folders))
    assert 100 < seconds < 400


def test_a_synthetic_voice_has_pitch_and_pauses():
    low, high = Voice(100.0, 1.0, 1.0, 0.02), Voice(220.0, 1.1, 1.0, 0.02)
    for voice in (low, high):
        speech = speak(np.random.default_rng(0), voice, 4.0)
        assert speech.shape == (64000,)
        assert rms_db(speech) == pytest.approx(-26, abs=0.01)
        frames = np.array([rms_db(speech[start : start + 320]) for start in range(0, 64000, 320)])
        assert np.mean(frames < -45) > 0.05
        assert np.mean(frames > -35) > 0.4
        loudest = max(range(0, 62000, 320), key=lambda start: rms_db(speech[start : start + 1024]))
        frame = speech[loudest : loudest + 1024] * np.hanning(1024)
        likeness = np.correlate(frame, frame, "full")[1023:]
        period = 40 + int(likeness[40:250].argmax())
        assert 16000 / period == pytest.approx(voice.f0, rel=0.3)


def test_pesq_and_stoi_can_judge_the_embedded_test_set(embedded):
    pesq, stoi = pytest.importorskip("pesq").pesq, pytest.importorskip("pystoi").stoi
    scores = [pesq(16000, item.clean, item.noisy, "wb") for item in embedded.test()]
    assert 1.2 < np.mean(scores) < 2.0
    assert max(scores) > 1.6
    assert all(0.6 < stoi(item.clean, item.noisy, 16000) < 0.99 for item in embedded.test())


@pytest.mark.parametrize("kind", KINDS)
def test_noises_have_one_level_and_differ(kind):
    noise = make_noise(np.random.default_rng(0), kind, 2.0)
    assert noise.shape == (32000,)
    assert rms_db(noise) == pytest.approx(-35, abs=0.01)
    assert not np.array_equal(noise, make_noise(np.random.default_rng(1), kind, 2.0))


# ---- the shared corpus


@pytest.mark.skipif(not CORPUS.is_dir(), reason="needs the shared corpus beside the project")
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
