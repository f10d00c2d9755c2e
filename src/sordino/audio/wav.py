"""The header of a WAV file that comes or goes through a pipe, where its length is not known.

Of WAV (Multimedia Programming Interface 1.0, and WAVE_FORMAT_EXTENSIBLE) this module reads what recorders pipe:
integers of 16, 24 or 32 bits and 32-bit floats. A program that writes WAV into a pipe cannot know its length and leaves
a placeholder in the header. Torch-free.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from sordino.audio.pcm import BITS
from sordino.errors import InputError

UNKNOWN = 0xFFFFFFFF
"""Length that is put into a header as long as the true one is unknown."""
_PLACEHOLDERS = ((0, 0), (0x7FFF0000, 0x80010000), (0xFFFF0000, UNKNOWN))
"""Lengths that mean unknown, from and to: recorders write 0, about 2 GiB, or nearly 4 GiB."""
AFTER_SOUND = (b"LIST", b"id3 ", b"bext", b"cue ", b"fact", b"PEAK", b"iXML", b"smpl")
"""Names of chunks that may follow the sound: where one stands in its place, a length of 0 is true."""
READABLE = "WAV of 16, 24 or 32-bit integers or 32-bit floats, or raw samples"

_INTEGER, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_ENCODINGS = {(_INTEGER, 16): "s16le", (_INTEGER, 24): "s24le", (_INTEGER, 32): "s32le", (_FLOAT, 32): "f32le"}
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


class WavFormat(NamedTuple):
    """What a header says of the samples."""

    sample_rate: int
    channels: int
    encoding: str
    """A key of ``sordino.audio.pcm.BITS``."""


def read_header(take: Callable[[int], bytes], name: str) -> tuple[WavFormat, int | None]:
    """Read the chunks after ``RIFF`` up to the samples; unknown chunks are skipped.

    Args:
        take: returns the next bytes of the stream, fewer only at its end.
        name: of the stream, in errors.

    Returns:
        The format, and the number of bytes of samples; None where the header leaves it open.

    Raises:
        InputError: the header is cut short or contradicts itself, or holds a format that is not read here.
    """

    def must_take(size: int) -> bytes:
        data = take(size)
        if len(data) < size:
            raise InputError(name, "ends within its WAV header", hint="was it cut short?")
        return data

    _, form = struct.unpack("<I4s", must_take(8))
    if form != b"WAVE":
        raise InputError(name, "is RIFF, but not WAV", READABLE)
    found: WavFormat | None = None
    while True:
        chunk, size = struct.unpack("<4sI", must_take(8))
        if chunk == b"data":
            break
        left = size + size % 2  # chunks start at even offsets: an odd one is followed by a padding byte
        if chunk == b"fmt ":
            used = min(size, 40)  # the extensible format has 40 bytes
            found, left = _format(must_take(used), name), left - used
        # In pieces, because a damaged header may state gigabytes.
        while left > 0:
            left -= len(must_take(min(left, 2**16)))
    if found is None:
        raise InputError(name, "its header does not say what samples it holds (no fmt chunk)", READABLE)
    return found, None if is_placeholder(size) else size


def is_placeholder(size: int) -> bool:
    """Return whether a header that states ``size`` bytes of sound leaves the length open."""
    return any(first <= size <= last for first, last in _PLACEHOLDERS)


def _format(chunk: bytes, name: str) -> WavFormat:
    """Read the content of a ``fmt`` chunk, and check it."""
    if len(chunk) < 16:
        raise InputError(name, f"its header has a format of {len(chunk)} bytes", "at least 16")
    tag, channels, sample_rate, _, frame, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == _EXTENSIBLE and chunk[26:40] == _GUID_TAIL:
        # The true format is in the first two bytes of the GUID, whose rest is the same for all formats.
        (tag,) = struct.unpack("<H", chunk[24:26])
    if (tag, bits) not in _ENCODINGS:
        raise InputError(name, f"is WAV of format {tag:#06x} with {bits} bits", READABLE)
    if frame != channels * bits // 8:
        found = f"{channels} channel(s) of {bits} bits in {frame} bytes"
        raise InputError(name, f"its header contradicts itself: {found}", hint="was it damaged?")
    return WavFormat(sample_rate, channels, _ENCODINGS[tag, bits])


def header(form: WavFormat, size: int) -> bytes:
    """Build a header, 44 bytes, for ``size`` bytes of samples."""
    size = min(size, UNKNOWN)  # a length field of four bytes ends at 4 GiB
    bits = BITS[form.encoding]
    tag = _FLOAT if form.encoding == "f32le" else _INTEGER
    frame = form.channels * bits // 8
    riff = min(36 + size + size % 2, UNKNOWN)
    rate = form.sample_rate
    return struct.pack("<4sI4s4s", b"RIFF", riff, b"WAVE", b"fmt ") + struct.pack(
        "<IHHIIHH4sI", 16, tag, form.channels, rate, rate * frame, frame, bits, b"data", size
    )
