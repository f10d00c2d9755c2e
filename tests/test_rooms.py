"""Speech in rooms: a convolution, the same in mixture and reference, and only where it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.noise import hiss
from sordino.audio.mix import rms_db
from sordino.audio.rooms import reverberate
from sordino.audio.sound_files import write
from sordino.data import sources
from sordino.errors import InputError

RATE = 16000


def room(seed: int, before: int = 40) -> np.ndarray:
    """Silence, the direct path, and a tail that fades."""
    tail = hiss(0.2, seed=seed, level=0.2) * np.exp(-np.arange(3200) / 600).astype(np.float32)
    return np.concatenate([np.zeros(before, np.float32), [1.0], tail]).astype(np.float32)


@pytest.mark.parametrize("length", [1, 500, 4096, 20000])
def test_speech_in_a_room_is_a_convolution_from_the_direct_path_on(length: int) -> None:
    speech, response = hiss(length / RATE, seed=1), room(2)
    expected = np.convolve(speech.astype(float), response[40:])[:length]
    expected *= np.sqrt(np.mean(speech.astype(float) ** 2) / np.mean(expected**2))
    reverberant, reference = reverberate(speech, response)
    assert reverberant.dtype == np.float32
    np.testing.assert_allclose(reverberant, expected, atol=1e-6)
    np.testing.assert_array_equal(reference, reverberant)


def test_a_single_path_changes_nothing_and_silence_stays_silent() -> None:
    speech = hiss(0.5, seed=3)
    np.testing.assert_allclose(reverberate(speech, np.array([0, 0, -0.3, 0]))[0], -speech, atol=1e-6)
    assert not np.any(reverberate(np.zeros(100, np.float32), room(1)))
    assert not np.any(reverberate(speech, np.zeros(10)))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for number in range(6):
        write(tmp_path / "datasets" / "clean" / f"s{number}_a.wav", hiss(1.0, seed=number), RATE)
        write(tmp_path / "datasets" / "noise" / f"n{number}.wav", hiss(1.0, seed=10 + number), RATE)
    # The second channel is another microphone, half a room away.
    write(
        tmp_path / "datasets" / "impulse_responses" / "hall" / "one.wav",
        np.stack([room(5), room(6)[::-1]]),
        RATE,
        "FLOAT",
    )
    return tmp_path


def test_rooms_are_in_the_reference_too_and_keep_ratio_and_level(corpus: Path) -> None:
    wet, dry = (
        sources.Dns(str(corpus), reverb=reverb, level_db=None, augment=None, hours=0.002, segment_s=1.0)
        for reverb in (1.0, 0.0)
    )
    for index in range(5):
        item, plain = wet.train(0)[0, index], dry.train(0)[0, index]
        assert item.clean is not None
        assert plain.clean is not None
        np.testing.assert_allclose(item.clean, reverberate(plain.clean, room(5))[0], atol=1e-6)
        assert not np.allclose(item.clean, plain.clean, atol=0.01)
        snr_db = float(item.id.rpartition("@")[2].removesuffix("dB"))
        assert rms_db(item.clean) - rms_db(item.noisy - item.clean) == pytest.approx(snr_db, abs=0.06)
    for item, plain in zip(wet.valid(), dry.valid(), strict=True):
        np.testing.assert_array_equal(item.noisy, plain.noisy)


def test_reverb_is_a_probability(corpus: Path) -> None:
    folder = corpus / "datasets"
    some = sources.Mix(
        f"{folder}/clean", f"{folder}/noise", impulse_responses=f"{folder}/impulse_responses", reverb=0.4,
        level_db=None, augment=None, epoch_size=200, segment_s=0.2,
    )  # fmt: skip
    none = sources.Mix(f"{folder}/clean", f"{folder}/noise", level_db=None, augment=None, epoch_size=200, segment_s=0.2)
    reverberated, dry = some.train(0), none.train(0)
    changed = [not np.array_equal(reverberated[0, i].clean, dry[0, i].clean) for i in range(200)]
    assert 0.3 < np.mean(changed) < 0.5
    with pytest.raises(InputError, match="reverb"):
        sources.Dns(str(corpus), reverb=1.1)
    with pytest.raises(InputError, match="impulse_responses: there is no such folder"):
        sources.Mix(f"{folder}/clean", f"{folder}/noise", impulse_responses=f"{corpus}/impulse_responses").train(0)


def test_an_impulse_response_of_silence_is_refused(corpus: Path, tmp_path: Path) -> None:
    write(tmp_path / "rooms" / "mute.wav", np.zeros(800, np.float32), 16000)
    folder = corpus / "datasets"
    rooms = str(tmp_path / "rooms")
    source = sources.Mix(f"{folder}/clean", f"{folder}/noise", impulse_responses=rooms, reverb=1.0, epoch_size=1)
    with pytest.raises(InputError, match=r"mute\.wav: has a silent first channel"):
        source.train(0)[0, 0]
