"""Headers that do not say how long a sound is, completed before libsndfile reads them.

A program that writes into a pipe, and a recorder that dies, leave a length of 0 or a placeholder in the header. All of
the sound is there, but libsndfile believes the header: of WAV and AIFF it reads nothing, of an MP3 without a Xing
header whatever it guessed, and FLAC it takes for endless. ``completed`` shows such a file with the true length in the
place of the header's. Nothing on disk is changed, and files whose headers are whole are not touched. Torch-free.
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sordino.audio.forward import ForwardFile, blocks_to_end
from sordino.audio.mp3 import LONGEST_FRAME, begins_frame, decoded_mp3, first_frame, stated_size
from sordino.audio.pcm import limited
from sordino.audio.wav import AFTER_SOUND

HEAD = 2**16
"""Bytes in which the chunks before the sound are looked for."""

OPEN_64 = 2**62
"""Lengths in 64 bits from this one on mean unknown."""


class Overlay(io.RawIOBase):
    """A file with some of its bytes replaced, for reading.

    Args:
        path: the file.
        changes: offset -> bytes that stand there instead.
    """

    def __init__(self, path: str | Path, changes: dict[int, bytes]) -> None:
        super().__init__()
        self._file, self._changes = open(path, "rb"), changes  # noqa: SIM115, closed by close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        start = self._file.tell()
        count = self._file.readinto(buffer)
        for offset, replacement in self._changes.items():
            first, last = max(offset, start), min(offset + len(replacement), start + count)
            if first < last:
                buffer[first - start : last - start] = replacement[first - offset : last - offset]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def completed(path: Path, most: float = math.inf) -> BinaryIO | None:
    """Return a file object that libsndfile reads to the end of the sound; None if the header is complete.

    Args:
        path: the file.
        most: samples of all channels above which a file that has to be decoded for it is refused.

    Raises:
        soundfile.LibsndfileError: FLAC or MP3 that cannot be decoded.
        InputError: it holds more than ``most`` samples.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
    size = path.stat().st_size
    if head[:3] == b"ID3" or begins_frame(head):  # an MP3, with or without a tag
        start = first_frame(head)
        with open(path, "rb") as file:
            file.seek(start)
            first = file.read(LONGEST_FRAME)
        if first[:4] == b"fLaC" or stated_size(first)[0]:  # FLAC may have that tag as well
            return None
        return decoded_mp3(path, start, most)
    changes: dict[int, bytes] = {}
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        changes = _wave_changes(head, size)
    elif head[:4] == b"FORM" and head[8:11] == b"AIF":
        changes = _aiff_changes(head, size)
    elif head[:4] == b"caff":
        changes = _caf_changes(head, size)
    elif head[:4] == b"fLaC" and not _flac_length(head):
        changes = _flac_changes(path, head, most)
    return io.BufferedReader(Overlay(path, changes)) if changes else None


def chunks(head: bytes, start: int, form: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, offset of the length field, length) of the chunks whose headers lie in ``head``."""
    field, width = start, struct.calcsize(form)
    while field + 4 + width <= len(head):
        name = head[field : field + 4]
        (length,) = struct.unpack_from(form, head, field + 4)
        yield name, field + 4, length
        padding = length % 2 if width == 4 else 0  # lengths in 32 bits are those of RIFF and AIFF, which pad chunks
        field += 4 + width + length + padding


def _wave_changes(head: bytes, size: int) -> dict[int, bytes]:
    """WAV whose sound has length 0, and RF64 whose lengths in 64 bits were never written."""
    long_at = None
    for name, at, length in chunks(head, 12, "<I"):
        if name == b"ds64" and at + 20 <= len(head):
            (stated,) = struct.unpack_from("<Q", head, at + 12)
            unknown = stated == 0 or stated >= OPEN_64
            long_at = at + 4 if unknown else None
        if name == b"data":
            start = at + 4
            if long_at is not None:
                return {long_at: struct.pack("<3Q", size - 8, size - start, 0)}
            # Of length 0 it is truly empty where the file ends, or where another chunk follows.
            if length == 0 and size > start and head[start : start + 4] not in AFTER_SOUND:
                return {at: struct.pack("<I", 0xFFFFFFFF)}
            break
    return {}


def _aiff_changes(head: bytes, size: int) -> dict[int, bytes]:
    """AIFF with no frames in its header and sound behind it."""
    frames_at = frame = 0
    for name, at, length in chunks(head, 12, ">I"):
        if name == b"COMM" and at + 12 <= len(head):
            channels, frames, bits = struct.unpack_from(">hIh", head, at + 4)
            if frames:
                return {}
            frames_at, frame = at + 6, channels * -(-bits // 8)
        if name == b"SSND" and frame > 0 and length <= 8 and size > at + 12:
            frames = (size - at - 12) // frame
            return {frames_at: struct.pack(">I", frames), at: struct.pack(">I", 8 + frames * frame)}
    return {}


def _caf_changes(head: bytes, size: int) -> dict[int, bytes]:
    """CAF whose sound goes on to the end of the file, which the format writes as a length of -1."""
    for name, at, length in chunks(head, 8, ">q"):
        if name == b"data" and length < 0:
            return {at: struct.pack(">q", size - at - 8)}
        if name == b"data" or length < 0:
            break
    return {}


def _flac_length(head: bytes) -> int:
    """Samples by the header of FLAC: the last 36 bits before the checksum of the first block; 0 means unknown."""
    return int.from_bytes(head[21:26], "big") & (2**36 - 1)


def _flac_changes(path: Path, head: bytes, most: float) -> dict[int, bytes]:
    """FLAC of unknown length: it is decoded once to be counted."""
    with ForwardFile(path) as file:
        length = sum(len(block) for block in limited(blocks_to_end(file), most, path))
    # The field has 36 bits, of which the first four share a byte with the bits per sample.
    first, rest = head[21] & 0xF0 | length >> 32, length & 0xFFFFFFFF
    return {21: bytes([first]) + rest.to_bytes(4, "big")}
