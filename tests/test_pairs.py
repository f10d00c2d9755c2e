"""Pairs of noisy and clean files: their segments, their partners, and who is held out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from helpers.corpora import write_valentini_pair
from helpers.noise import hiss
from sordino.audio.sound_files import read_mono, write
from sordino.audio.tempo import stretch
from sordino.data import sources
from sordino.data.loader import collate
from sordino.data.recordings import pair_files
from sordino.errors import InputError


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
    write_valentini_pair(valentini, "testset", "p227_009", 1.0)
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


def test_no_speaker_to_train_or_to_validate_on_is_said_as_it_is(valentini):
    everybody = ("p226", "p227", "p228", "p282", "p287")
    with pytest.raises(InputError, match="valid_speakers: leave no speaker to train on"):
        sources.Valentini(str(valentini), valid_speakers=everybody).train(0)
    with pytest.raises(InputError, match="valid_speakers: name no speaker to validate on"):
        sources.Valentini(str(valentini), valid_speakers=()).valid()


def test_segments_that_fit_no_memory_are_refused(valentini):
    for source in (
        sources.Valentini(str(valentini), segment_s=1e9),
        sources.Synthetic(segment_s=601.0),
        sources.SemiSupervised(sources.Synthetic(segment_s=1e9), str(valentini), 0.5),
    ):
        with pytest.raises(InputError, match=r"segment_s: .* s; expected seconds, at most 600"):
            source.train(0)
    sources.Valentini(str(valentini), segment_s=600.0, stride_s=1000.0).train(0)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("pairs", {"noisy": "a", "valid_clean": "b"}, "valid_clean: has no valid_noisy beside it"),
        ("pairs", {"noisy": "a", "clean": "b", "test_clean": "c"}, "test_clean: has no test_noisy beside it"),
        ("mix", {"clean": "a", "noise": "b", "test_clean": "c"}, "test_clean: has no test_noisy beside it"),
        ("shards", {"root": "a", "test_clean": "c"}, "test_clean: has no test_noisy beside it"),
        ("mix", {"clean": "a", "noise": "b", "reverb": 0.3}, "reverb: needs recorded rooms; expected impulse_respons"),
    ],
)
def test_arguments_that_would_be_ignored_are_refused(source, options, message):
    with pytest.raises(InputError, match=message):
        sources.create(source, **options)
