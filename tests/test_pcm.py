"""Samples as bytes and the headers of WAV, read from a pipe and written into one."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from helpers.noise import white
from helpers.riff import chunks
from sordino.audio.pcm import BITS, as_array, decode, encode, to_float
from sordino.audio.pipe import UNKNOWN, Reader, Writer
from sordino.errors import InputError


@pytest.mark.parametrize("encoding", BITS)
def test_samples_survive_as_bytes(encoding: str) -> None:
    bits = BITS[encoding]
    audio = white(3, 1000, level=0.2)
    data = encode(audio, encoding)
    assert len(data) == 3000 * bits // 8
    tolerance = 1e-7 if encoding in ("s32le", "f32le") else 0.5 / 2 ** (bits - 1)
    np.testing.assert_allclose(decode(data, encoding, 3), audio, atol=tolerance * 1.01)
    if encoding != "f32le":
        top = decode(encode(np.array([[1.5, -1.5]]), encoding), encoding, 1)
        np.testing.assert_allclose(top, [[1, -1]], atol=1 / 2**15)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_reads_what_libsndfile_writes_and_the_other_way_round(subtype: str, container: str) -> None:
    file = io.BytesIO()
    audio = white(2, 1001, level=0.2)
    soundfile.write(file, audio.T, 44100, subtype, format=container)
    expected, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    reader = Reader(io.BytesIO(file.getvalue()))
    assert (reader.sample_rate, reader.channels, reader.is_wav) == (44100, 2, True)
    read = np.concatenate(list(reader.blocks(64)), axis=1)
    reader.check_end()
    np.testing.assert_allclose(read, expected.T, atol=1e-7)
    target = io.BytesIO(b"before")
    target.seek(6)
    with Writer(target, 44100, 2, reader.encoding) as writer:
        for start in range(0, 1001, 100):
            writer.write(read[:, start : start + 100])
    again, rate = soundfile.read(io.BytesIO(target.getvalue()[6:]), dtype="float32")
    assert rate == 44100
    np.testing.assert_allclose(again, expected, atol=1e-7)
    assert struct.unpack("<I", target.getvalue()[10:14])[0] == len(target.getvalue()) - 6 - 8


class Pipe(io.RawIOBase):
    """A file that gives a few bytes at a time and cannot be sought in."""

    def __init__(self, data: bytes = b"") -> None:
        self.source, self.written = io.BytesIO(data), bytearray()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.source.read(min(size, 5))

    def write(self, data: Any) -> int:
        self.written += bytes(data[:1000])
        return min(len(data), 1000)


@pytest.mark.parametrize("length", [0, UNKNOWN, 0x7FFFFFFF - 36, 0x80000000])
def test_placeholders_for_the_length_mean_to_the_end(length: int) -> None:
    target: Any = Pipe()
    audio = white(1, 3000, level=0.2)
    with Writer(target, 8000, 1) as writer:
        writer.write(audio)
    assert target.written[40:44] == b"\xff\xff\xff\xff"
    data = bytes(target.written[:40]) + struct.pack("<I", length) + bytes(target.written[44:])
    source: Any = Pipe(data)
    reader = Reader(source)
    read = np.concatenate(list(reader.blocks(100)), axis=1)
    reader.check_end()
    np.testing.assert_allclose(read, audio, atol=1 / 2**15)


FMT = (b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))


def test_unknown_chunks_are_passed_over_before_and_after() -> None:
    data = chunks((b"LIST", b"odd"), (b"bext", bytes(70_001)), FMT, (b"fact", bytes(4)), (b"data", b"\1\0\2\0"))
    reader = Reader(io.BytesIO(data + b"LIST\3\0\0\0abc"))
    (block,) = reader.blocks(10)
    reader.check_end()
    assert (block * 2**15).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"RIFF", "within its WAV header"),
        (b"RIFF\0\0\0\0WAVEfmt ", "within its WAV header"),
        (chunks(FMT), "within its WAV header"),
        (chunks(FMT)[:-3], "within its WAV header"),
        (chunks(form=b"AVI "), "not WAV"),
        (chunks((b"data", b"")), "no fmt chunk"),
        (chunks((b"fmt ", bytes(10)), (b"data", b"")), "format of 10 bytes"),
        (chunks((b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)), (b"data", b"")), "0x0001 with 8 bits"),
        (chunks((b"fmt ", struct.pack("<HHIIHH", 7, 1, 8000, 8000, 1, 8)), (b"data", b"")), "0x0007 with 8 bits"),
        (chunks((b"fmt ", struct.pack("<HHIIHH", 1, 2, 8000, 8000, 3, 16)), (b"data", b"")), "contradicts itself"),
        (chunks((b"fmt ", struct.pack("<HHIIHH", 1, 0, 8000, 0, 0, 16)), (b"data", b"")), "0 channel"),
        (b"fLaC\0\0\0\x22", "is FLAC.*decode it first"),
    ],
)
def test_headers_that_cannot_be_read_are_reported(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reader(io.BytesIO(data))


def test_options_that_a_header_denies_are_reported() -> None:
    data = chunks(FMT, (b"data", bytes(8)))
    assert Reader(io.BytesIO(data), 8000, 1).sample_rate == 8000
    with pytest.raises(InputError, match="says 8000 Hz, not 16000"):
        Reader(io.BytesIO(data), 16000)
    with pytest.raises(InputError, match=r"says 1 channel\(s\), not 2"):
        Reader(io.BytesIO(data), None, 2)
    with pytest.raises(InputError, match="sample rate of 0 Hz"):
        Reader(io.BytesIO(b""), 0)


@pytest.mark.parametrize("data", [b"\0\0\0\x20ftypM4A ", b"\x1aE\xdf\xa3webm", b"<html>", b"\xff\xfb\x90\x44MP3"])
def test_other_bytes_are_no_sound_unless_they_are_said_to_be(data: bytes) -> None:
    with pytest.raises(InputError, match=r"is no WAV.*say the rate or the format"):
        Reader(io.BytesIO(data))
    assert sum(block.shape[1] for block in Reader(io.BytesIO(data[:4]), encoding="s16le").blocks(10)) == 2


@pytest.mark.parametrize("kind", [torch.int16, torch.float64, torch.float32])
def test_tensors_are_read_as_arrays_of_their_type_are(kind: torch.dtype) -> None:
    tensor = torch.arange(-3, 4).to(kind)
    array = as_array(tensor, "samples")
    assert torch.from_numpy(array).dtype == kind
    np.testing.assert_array_equal(to_float(array, "samples"), to_float(tensor.numpy(), "samples"))


def test_tensors_that_numpy_has_no_type_for_are_read_as_float32() -> None:
    assert as_array(torch.ones(3, dtype=torch.bfloat16), "samples").dtype == np.float32
