"""Headers that leave the length open or lie: every way of reading a file finds the same sound in it."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.noise import tone, white
from sordino.audio.blocks import read_blocks
from sordino.audio.pipe import Reader
from sordino.audio.sound_files import info, read, read_compact, read_segment
from sordino.errors import InputError

RATE, LENGTH = 16000, 24_000


def encoded(kind: str, **options: object) -> bytearray:
    file = io.BytesIO()
    soundfile.write(file, tone(LENGTH / RATE), RATE, format=kind, **options)
    return bytearray(file.getvalue())


def wave(data: int) -> Callable[[], bytes]:
    """WAV whose sound has so many bytes by its header."""

    def make() -> bytes:
        content = encoded("WAV")
        at = content.index(b"data") + 4
        content[at : at + 4] = struct.pack("<I", data)
        return bytes(content)

    return make


def rf64(length: int) -> Callable[[], bytes]:
    def make() -> bytes:
        content = encoded("RF64", subtype="PCM_16")
        at = content.index(b"ds64") + 8
        content[at : at + 24] = struct.pack("<3Q", length, length, length)
        return bytes(content)

    return make


def flac() -> bytes:
    content = encoded("FLAC")
    content[21] &= 0xF0
    content[22:42] = bytes(20)  # the samples' number and their checksum
    return bytes(content)


def aiff() -> bytes:
    content = encoded("AIFF")
    content[content.index(b"COMM") + 10 :][:4] = bytes(4)
    at = content.index(b"COMM") + 10
    content[at : at + 4] = bytes(4)
    at = content.index(b"SSND") + 4
    content[at : at + 4] = struct.pack(">I", 8)
    return bytes(content)


def caf() -> bytes:
    content = encoded("CAF")
    at = content.index(b"data") + 4
    content[at : at + 8] = b"\xff" * 8
    return bytes(content)


OPEN = {
    "zero.wav": wave(0),
    "four-gigabytes.wav": wave(0xFFFFFFFF),
    "two-gigabytes.wav": wave(0x7FFFFFDB),
    "arecord.wav": wave(0x80000000),
    "zero.rf64": rf64(0),
    "minus-one.rf64": rf64(2**64 - 1),
    "pipe.flac": flac,
    "pipe.aiff": aiff,
    "minus-one.caf": caf,
}


@pytest.mark.parametrize("name", OPEN)
def test_sound_of_unknown_length_is_read_to_its_end_in_every_way(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(OPEN[name]())
    expected = tone(LENGTH / RATE)
    assert info(path).length == LENGTH
    assert info(path).seconds == LENGTH / RATE
    whole, rate = read(path)
    assert (whole.shape, rate) == ((1, LENGTH), RATE)
    np.testing.assert_allclose(whole[0], expected, atol=2**-15)
    np.testing.assert_array_equal(np.concatenate(list(read_blocks(path, 7001)), axis=1), whole)
    np.testing.assert_array_equal(read_segment(path), whole[0])
    np.testing.assert_array_equal(read_segment(path, 20_000, 3_000), whole[0, 20_000:23_000])
    np.testing.assert_array_equal(read_compact(path) / np.float32(2**15), whole[0])


@pytest.mark.parametrize("stated", [0x70000000, 0x90000000, 0xF0000000])
def test_long_recordings_that_were_cut_short_are_refused(tmp_path: Path, stated: int) -> None:
    (tmp_path / "cut.wav").write_bytes(wave(stated)())
    with pytest.raises(InputError, match=f"ends after 1.50 s .*expected the {stated} bytes"):
        read(tmp_path / "cut.wav")
    reader = Reader(io.BytesIO(wave(stated)()))
    assert sum(block.shape[1] for block in reader.blocks(1000)) == LENGTH
    with pytest.raises(InputError, match=r"ends after 1\.50 s where its header promises"):
        reader.check_end()


def test_headers_that_are_whole_are_left_alone(tmp_path: Path) -> None:
    """A WAV without samples, and one with a chunk behind them, are what they say."""
    empty = encoded("WAV")
    at = empty.index(b"data") + 4
    content = bytes(empty[:at]) + bytes(4) + b"LIST" + struct.pack("<I", 4) + b"INFO"
    assert not list(Reader(io.BytesIO(content)).blocks(100))
    (tmp_path / "empty.wav").write_bytes(content)
    with pytest.raises(InputError, match="holds no samples"):
        read(tmp_path / "empty.wav")
    (tmp_path / "more.wav").write_bytes(bytes(encoded("WAV")) + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert read(tmp_path / "more.wav")[0].shape == (1, LENGTH)


@pytest.mark.parametrize("art", [0, 1_000_000])
def test_an_mp3_without_its_length_is_read_to_its_end(tmp_path: Path, art: int) -> None:
    """Of varying bit rate and with an album's picture before it: libsndfile guesses its length wrong."""
    noise = 0.001 * np.random.default_rng(0).standard_normal(10 * RATE)
    noise[: 2 * RATE] *= 300  # loud first, so that the first frames have more bits than the others
    file = io.BytesIO()
    soundfile.write(file, noise, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.3)
    content = file.getvalue()
    content = content[content.index(content[:2], 4) :]  # the first frame holds the length, and no sound
    if art:
        body = b"\0image/png\0\3\0" + bytes(art)
        frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
        content = b"ID3\3\0\0" + bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0)) + frame + content
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    assert info(path).seconds == pytest.approx(10, abs=0.2)
    assert read(path)[0].shape[1] == info(path).length == sum(block.shape[1] for block in read_blocks(path, 5000))


def test_a_header_that_promises_what_the_disk_does_not_hold_takes_no_memory(tmp_path: Path) -> None:
    content = encoded("FLAC")
    content[21] |= 0x0F  # 64 thousand million samples, 256 GB of floats
    path = tmp_path / "a.flac"
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"ends after 1\.50 s"):
        read(path)


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "CAF", "FLAC", "MP3", "OGG", "AU", "W64"])
def test_a_header_that_is_cut_anywhere_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    content, path = bytes(encoded(kind)), tmp_path / "a.wav"
    for length in range(1, 100):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=re.escape(str(path))):
            read(path)


def test_a_file_that_is_refused_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1000), 500)
    before, errors = len(os.listdir("/proc/self/fd")), []
    for _ in range(5):
        with pytest.raises(InputError, match="a sample rate of 500 Hz") as caught:
            read(path)
        errors.append(caught.value)  # which holds the frames that opened the file
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("rate", "channels"), [(1, 1), (999, 1), (2_000_000, 1), (16000, 65)])
def test_rates_and_channels_of_no_recording_are_refused_at_once(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((1000, channels)), rate)
    for reading in (info, read, read_segment, lambda path: next(read_blocks(path, 100))):
        with pytest.raises(InputError, match=r"a sample rate of|65 channels"):
            reading(path)


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".opus"])
def test_recordings_that_were_joined_are_read_to_the_end(tmp_path: Path, suffix: str) -> None:
    """As ``cat`` joins them, and radio streams in Ogg; libsndfile alone reads the first."""
    parts, kind = [], {".opus": ("OGG", "OPUS")}.get(suffix, (None, None))
    for number, length in enumerate((16_000, 24_000)):
        wave = 0.1 * np.random.default_rng(number).standard_normal(length)
        soundfile.write(tmp_path / f"part{number}{suffix}", wave, 16_000, kind[1], format=kind[0])
        parts.append((tmp_path / f"part{number}{suffix}").read_bytes())
    tags = {".mp3": (b"TAG" + bytes(125), b"ID3\3\0\0\0\0\0\x0a" + bytes(10))}.get(suffix, (b"", b""))
    (tmp_path / f"all{suffix}").write_bytes(parts[0] + tags[0] + tags[1] + parts[1] + tags[0])
    found = read(tmp_path / f"all{suffix}")[0]
    alone = [read(tmp_path / f"part{number}{suffix}")[0] for number in (0, 1)]
    assert [one.shape[1] for one in alone] == [16_000, 24_000]
    np.testing.assert_array_equal(found, np.concatenate(alone, axis=1))
    soundfile.write(tmp_path / f"other{suffix}", np.zeros((24_000, 2)), 24_000, kind[1], format=kind[0])
    (tmp_path / f"all{suffix}").write_bytes(parts[0] + (tmp_path / f"other{suffix}").read_bytes())
    with pytest.raises(InputError, match="several recordings, of 16000 Hz with 1 channels and of 24000 Hz with 2"):
        read(tmp_path / f"all{suffix}")


def test_an_mp3_that_lost_a_twelfth_of_its_sound_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, white(20 * RATE, level=0.1), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 11 // 12])
    with pytest.raises(InputError, match=r"ends after 18\..*was it cut short"):
        read(path)


def test_a_wav_that_lost_less_than_lies_before_its_sound_is_not_whole(tmp_path: Path) -> None:
    content, path = bytes(encoded("WAV")), tmp_path / "a.wav"
    at = content.index(b"data")
    path.write_bytes(content[:at] + b"JUNK" + struct.pack("<I", 60_000) + bytes(60_000) + content[at:])
    assert read(path)[0].shape == (1, LENGTH)
    path.write_bytes(path.read_bytes()[:-LENGTH])  # half of the sound
    with pytest.raises(InputError, match=r"ends after 0\.75 s"):
        read(path)


def test_flac_behind_the_tag_of_an_mp3_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(b"ID3\3\0\0\0\0\0\x0a" + bytes(10) + bytes(encoded("FLAC")))
    assert read(path)[0].shape == (1, LENGTH)
