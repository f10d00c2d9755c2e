"""Sound in and out: round trips, resampling, and the messages about files of no use."""

from __future__ import annotations

import errno
import math
import os
from io import FileIO

import numpy as np
import pytest
import soundfile

from helpers.noise import tone, white
from sordino.audio import encoding
from sordino.audio.blocks import FORMATS
from sordino.audio.folders import list_audio
from sordino.audio.mix import rms_db
from sordino.audio.sound_files import (
    info,
    read,
    read_compact,
    read_mono,
    read_segment,
    resample,
    write,
)
from sordino.errors import InputError

# ---- reading and writing


def test_sixteen_bits_survive_the_round_trip(tmp_path):
    whole = np.arange(-32768, 32768, dtype=np.int64)
    audio = (whole / 32768).astype(np.float32)
    for suffix in (".wav", ".flac"):
        assert write(tmp_path / f"a{suffix}", audio, 16000, "PCM_16") == 0.0
        back, rate = read(tmp_path / f"a{suffix}")
        assert rate == 16000
        assert back.dtype == np.float32
        np.testing.assert_array_equal(back[0], audio)


def test_channels_come_first_and_mono_is_their_mean(tmp_path):
    stereo = np.stack([white(4000, seed=1), white(4000, seed=2)])
    write(tmp_path / "a.wav", stereo, 8000, "FLOAT")
    back, rate = read(tmp_path / "a.wav")
    assert back.shape == (2, 4000)
    assert rate == 8000
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, stereo)
    np.testing.assert_allclose(read_mono(tmp_path / "a.wav", 8000), stereo.mean(axis=0), atol=1e-7)
    assert read_mono(tmp_path / "a.wav", 16000).shape == (8000,)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_written_and_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, tone(), 16000)
    header = info(path)
    assert (header.sample_rate, header.channels, header.length) == (16000, 1, 16000)
    assert header.seconds == 1.0
    back = read(path)[0][0]
    assert abs(rms_db(back) - rms_db(tone())) < 0.3


def test_a_segment_is_that_part_of_the_whole(tmp_path):
    stereo = np.stack([white(5000, seed=1), white(5000, seed=2)])
    write(tmp_path / "a.flac", stereo, 16000)
    whole = read(tmp_path / "a.flac")[0].mean(axis=0)
    np.testing.assert_allclose(read_segment(tmp_path / "a.flac", 1234, 1000), whole[1234:2234], atol=1e-7)
    np.testing.assert_allclose(read_segment(tmp_path / "a.flac", 4900, 1000), whole[4900:], atol=1e-7)
    assert len(read_segment(tmp_path / "a.flac", 9000, 10)) == 0


def test_compact_reading_is_exact(tmp_path):
    write(tmp_path / "a.flac", white(3000), 16000)
    write(tmp_path / "b.wav", white(3000), 16000, "FLOAT")
    write(tmp_path / "c.wav", np.stack([white(3000), white(3000, seed=1)]), 16000)
    assert read_compact(tmp_path / "a.flac").dtype == np.int16
    np.testing.assert_array_equal(
        read_compact(tmp_path / "a.flac") / np.float32(32768), read_segment(tmp_path / "a.flac")
    )
    for name in ("b.wav", "c.wav"):
        assert read_compact(tmp_path / name).dtype == np.float32
        np.testing.assert_array_equal(read_compact(tmp_path / name), read_segment(tmp_path / name))


def test_too_loud_sound_is_turned_down_and_reported(tmp_path):
    loud = tone(level=2.0)
    gain_db = write(tmp_path / "a.wav", loud, 16000)
    assert gain_db == pytest.approx(-20 * math.log10(np.abs(loud).max()))
    np.testing.assert_allclose(read(tmp_path / "a.wav")[0][0], loud / np.abs(loud).max(), atol=1e-4)
    assert write(tmp_path / "b.wav", loud, 16000, "FLOAT") == 0.0
    np.testing.assert_array_equal(read(tmp_path / "b.wav")[0][0], loud)


def test_resampling_keeps_a_tone_and_removes_what_does_not_fit():
    for rate in (8000, 22050, 48000):
        there = resample(tone(rate=rate), rate, 16000)
        assert there.shape == (16000,)
        np.testing.assert_allclose(there[2000:-2000], tone()[2000:-2000], atol=2e-3)
    high = resample(tone(rate=48000, hertz=11000), 48000, 16000)
    assert rms_db(high[2000:-2000]) < -80
    stacked = resample(np.stack([tone(), tone(hertz=600)])[None], 16000, 8000)
    assert stacked.shape == (1, 2, 8000)
    np.testing.assert_allclose(stacked[0, 1], resample(tone(hertz=600), 16000, 8000), atol=1e-6)
    same = tone()
    assert resample(same, 16000, 16000) is same


def test_listing_is_sorted_recursive_and_skips_the_rest(tmp_path):
    for name in ("b/2.flac", "b/1.WAV", "a.wav", ".hidden.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in list_audio(tmp_path)] == ["a.wav", "b/1.WAV", "b/2.flac"]
    with pytest.raises(InputError, match="no such folder"):
        list_audio(tmp_path / "absent")


# ---- files that are no use


def test_bad_files_are_reported_in_one_line_each(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is not a recording\n" * 20)
    (tmp_path / "folder.wav").mkdir()
    soundfile.write(tmp_path / "none.wav", np.zeros(0, dtype=np.float32), 16000)
    soundfile.write(tmp_path / "nan.wav", np.array([0, np.nan, 0], dtype=np.float32), 16000, "FLOAT")
    expected = {
        "absent.wav": "no such file",
        "empty.wav": "0 bytes",
        "text.wav": "cannot be read as audio",
        "folder.wav": "is a folder",
        "none.wav": "0 frames",
        "nan.wav": "NaN or infinite",
    }
    for name, words in expected.items():
        with pytest.raises(InputError, match=words) as caught:
            read(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="NaN"):
        read_segment(tmp_path / "nan.wav")


def test_a_cut_flac_is_damaged_not_silently_shorter(tmp_path):
    write(tmp_path / "a.flac", white(60000), 16000)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"damaged|cannot be read"):
        read(tmp_path / "a.flac")


def test_what_cannot_be_written_is_reported(tmp_path):
    audio = tone()
    with pytest.raises(InputError, match="unknown suffix"):
        write(tmp_path / "a.xyz", audio, 16000)
    with pytest.raises(InputError, match="int16"):
        write(tmp_path / "a.wav", (audio * 1000).astype(np.int16), 16000)
    with pytest.raises(InputError, match="NaN"):
        write(tmp_path / "a.wav", np.full(10, np.nan), 16000)
    for name, rate, subtype in (("a.flac", 16000, "FLOAT"), ("a.opus", 44100, None)):
        with pytest.raises(InputError, match="cannot hold 1 channel") as caught:
            write(tmp_path / name, audio, rate, subtype)
        assert "object at 0x" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EIO, "cannot be written")])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, number, words):
    write(tmp_path / "a.wav", tone(), 16000)
    before = (tmp_path / "a.wav").read_bytes()

    class Full(FileIO):
        def write(self, content):
            if self.tell() > 100:
                raise OSError(number, os.strerror(number))
            return super().write(bytes(content)[:100])

    def open_raw(path, mode, buffering):
        assert buffering == 0
        return Full(path, mode)

    monkeypatch.setattr(encoding, "open", open_raw, raising=False)
    with pytest.raises(InputError, match=words):
        write(tmp_path / "a.wav", tone(hertz=880), 16000)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == before
