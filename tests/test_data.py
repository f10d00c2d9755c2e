"""Sources: what every one of them promises, that items repeat exactly, and the corpus that is made from nothing."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from sordino.audio.mix import rms_db
from sordino.audio.sound_files import info
from sordino.conformance.sources import equal
from sordino.data import base, sources
from sordino.data.loader import loader
from sordino.data.recordings import audio_below
from sordino.data.voices import KINDS, Voice, make_noise, speak
from sordino.errors import InputError


@pytest.fixture(scope="module")
def embedded() -> sources.Synthetic:
    return sources.Synthetic(segment_s=1.0, tempo=(0.9, 1.1))


@pytest.fixture
def mix(on_disk) -> sources.Mix:
    return sources.Mix(
        f"{on_disk}/clean", f"{on_disk}/noise", f"{on_disk}/test/noisy", f"{on_disk}/test/clean",
        segment_s=1.0, tempo=(0.9, 1.1), babble=0.3, valid_items=5,
    )  # fmt: skip


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
        assert all(map(equal, first, again)), source.name
        assert not any(equal(a, train[3, index]) for index, a in enumerate(first))
        assert not any(equal(a, b) for a, b in zip(first, [source.train(4)[2, i] for i in chosen], strict=True))
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
            assert all(map(equal, items, part()))
            assert all(item.length == len(item.noisy) for item in items)


def test_create_names_the_nearest_source():
    assert isinstance(sources.create("synthetic", segment_s=1.0), sources.Synthetic)
    with pytest.raises(InputError, match="did you mean valentini"):
        sources.create("valentiny")


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


def test_cache_changes_nothing(on_disk):
    kept, read = (
        sources.Mix(f"{on_disk}/clean", f"{on_disk}/noise", segment_s=1.0, cache=cache) for cache in (True, False)
    )
    assert all(equal(kept.train(0)[0, index], read.train(0)[0, index]) for index in (0, 5, 9))


def test_the_embedded_corpus_says_what_it_is_and_shares_no_voice(embedded):
    assert embedded.synthetic
    train = embedded.train(0)
    drawn = {train[0, index].speaker for index in range(len(train))}
    validated, tested = ({item.speaker for item in part()} for part in (embedded.valid, embedded.test))
    assert drawn.isdisjoint(validated)
    assert (drawn | validated).isdisjoint(tested)
    assert len(drawn) == 10
    assert not equal(embedded.test()[0], sources.Synthetic(seed=1).test()[0])


def test_the_embedded_corpus_on_disk_is_read_by_mix(mix, embedded, on_disk):
    assert [item.id for item in mix.test()] == [f"{item.speaker}_{n:02d}" for n, item in enumerate(embedded.test())]
    for disk, memory in zip(mix.test(), embedded.test(), strict=True):
        np.testing.assert_allclose(disk.noisy, memory.noisy, atol=1 / 32768)
    seconds = sum(info(path).seconds for path in audio_below(on_disk))
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
