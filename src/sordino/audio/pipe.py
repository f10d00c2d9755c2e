"""Sound through a pipe: raw PCM, or WAV of unknown length, read and written as it comes.

libsndfile wants files that it can seek in; a pipe is none. Of WAV (Multimedia Programming Interface 1.0, and
WAVE_FORMAT_EXTENSIBLE) this reads what recorders pipe: integers of 16, 24 or 32 bits and 32-bit floats. Whoever writes
WAV into a pipe cannot know its length and leaves a placeholder there. Torch-free.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from sordino.audio.pcm import BITS, decode, encode
from sordino.errors import InputError
from sordino.files import unwritable

UNKNOWN = 0xFFFFFFFF
PLACEHOLDER = 0x7FFF0000
"""A length from here on, or 0, is none: recorders that cannot know it write a little less than 2 GiB, or 4 GiB."""

_INTEGER, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_ENCODINGS = {(_INTEGER, 16): "s16le", (_INTEGER, 24): "s24le", (_INTEGER, 32): "s32le", (_FLOAT, 32): "f32le"}
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_READABLE = "WAV of 16, 24 or 32-bit integers or 32-bit floats, or raw samples"
_FOREIGN = {
    b"RIFX": "big-endian WAV",
    b"RF64": "RF64",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b"ID3\x03": "MP3",
    b"ID3\x04": "MP3",
}
"""What would be loud noise if it were taken for raw samples."""


class Reader:
    """Samples out of a stream of bytes, raw or WAV.

    Args:
        file: a binary file; it is read from where it stands and need not be seekable.
        sample_rate: Hz, of raw samples (16000 when left out); a WAV header says its own, and the same if both do.
        channels: of raw samples (1 when left out); otherwise as ``sample_rate``.
        encoding: of raw samples, a key of ``BITS``.
        name: what the file is called in errors.

    Raises:
        InputError: a header cut short or of something that is not read here, or one that denies what was said of it.
    """

    def __init__(
        self,
        file: BinaryIO,
        sample_rate: int | None = None,
        channels: int | None = None,
        encoding: str = "s16le",
        name: str = "standard input",
    ) -> None:
        self._file, self._name = file, name
        self._ahead = b""
        self._read = 0
        self._promised: int | None = None
        self.sample_rate = 16000 if sample_rate is None else sample_rate
        self.channels = 1 if channels is None else channels
        self.encoding = encoding
        magic = self._take(4)
        if magic in _FOREIGN:
            do = "decode it first, for example with ffmpeg -i - -f wav -"
            raise InputError(name, f"is {_FOREIGN[magic]}", _READABLE, do)
        self.is_wav = magic == b"RIFF"
        if self.is_wav:
            self._read_header()
            for said, own, unit in ((sample_rate, self.sample_rate, "Hz"), (channels, self.channels, "channel(s)")):
                if said not in (None, own):
                    raise InputError(name, f"its header says {own} {unit}, not {said}", hint="leave that option out")
        else:
            self._ahead = magic
        if self.sample_rate < 1 or self.channels < 1:
            raise InputError(name, f"{self.channels} channel(s) at {self.sample_rate} Hz", "numbers above 0")
        self._frame = BITS[self.encoding] // 8 * self.channels

    def blocks(self, length: int) -> Iterator[np.ndarray]:
        """Yield float32 [C,length] until the stream ends, the last one shorter; ``check_end`` tells how it ended."""
        while True:
            wanted = length * self._frame
            if self._promised is not None:
                wanted = min(wanted, self._promised - self._read)
            data = self._take(wanted)
            self._read += len(data)
            whole = len(data) - len(data) % self._frame
            if whole:
                yield decode(data[:whole], self.encoding, self.channels)
            if whole < length * self._frame:
                return

    def check_end(self) -> None:
        """Tell a stream that was cut short from one that ended.

        Raises:
            InputError: it ended within a sample, or before the end that its header promised.
        """
        rest = self._read % self._frame
        if rest:
            found = f"ends with {rest} byte(s) that are no whole sample of {self.channels} channel(s)"
            raise InputError(self._name, found, f"{self._frame} bytes for each", "was it cut short?")
        if self._promised is not None and self._read < self._promised:
            seconds, promised = (size / self._frame / self.sample_rate for size in (self._read, self._promised))
            raise InputError(self._name, f"ends after {seconds:.2f} s where its header promises {promised:.2f} s")

    def _take(self, size: int) -> bytes:
        """Up to ``size`` bytes, fewer only at the end of the stream: one read of a pipe may give less."""
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        return data

    def _must_take(self, size: int) -> bytes:
        data = self._take(size)
        if len(data) < size:
            raise InputError(self._name, "ends within its WAV header", hint="was it cut short?")
        return data

    def _read_header(self) -> None:
        """Walk the chunks behind ``RIFF`` up to the samples; those that are not known are passed over."""
        _, form = struct.unpack("<I4s", self._must_take(8))
        if form != b"WAVE":
            raise InputError(self._name, "is RIFF, but not WAV", _READABLE)
        known = False
        while True:
            chunk, size = struct.unpack("<4sI", self._must_take(8))
            if chunk == b"data":
                break
            odd = size % 2  # chunks begin at even places
            if chunk == b"fmt ":
                kept = min(size, 40)
                self._read_format(self._must_take(kept))
                known, size = True, size - kept
            size += odd
            while size > 0:
                size -= len(self._must_take(min(size, 2**16)))
        if not known:
            raise InputError(self._name, "its header does not say what samples it holds (no fmt chunk)", _READABLE)
        self._promised = None if size == 0 or size >= PLACEHOLDER else size

    def _read_format(self, chunk: bytes) -> None:
        if len(chunk) < 16:
            raise InputError(self._name, f"its header has a format of {len(chunk)} bytes", "at least 16")
        tag, self.channels, self.sample_rate, _, frame, bits = struct.unpack("<HHIIHH", chunk[:16])
        if tag == _EXTENSIBLE and chunk[26:40] == _GUID_TAIL:
            (tag,) = struct.unpack("<H", chunk[24:26])
        if (tag, bits) not in _ENCODINGS:
            raise InputError(self._name, f"is WAV of format {tag:#06x} with {bits} bits", _READABLE)
        if frame != self.channels * bits // 8:
            found = f"{self.channels} channel(s) of {bits} bits in {frame} bytes"
            raise InputError(self._name, f"its header contradicts itself: {found}", hint="was it damaged?")
        self.encoding = _ENCODINGS[tag, bits]


class Writer:
    """Samples into a stream of bytes, raw or WAV: what is written has left this process.

    As a context manager it ends the stream, also after an error, so that WAV in a file says its length.

    Args:
        file: a binary file, unbuffered where nobody should wait; where it can be sought in, a WAV header is given the
            right lengths at the end, and until then, or elsewhere, the placeholder 0xFFFFFFFF.
        sample_rate: Hz.
        channels: of every block.
        encoding: a key of ``BITS``.
        is_wav: whether a header goes first.
        name: what the file is called in errors.

    Attributes:
        clipped: samples so far that were beyond full scale, which no integer holds.
    """

    def __init__(
        self,
        file: BinaryIO,
        sample_rate: int,
        channels: int,
        encoding: str = "s16le",
        is_wav: bool = True,
        name: str = "standard output",
    ) -> None:
        self._file, self._name, self._encoding, self._is_wav = file, name, encoding, is_wav
        self._format = sample_rate, channels
        self._size = 0
        self.clipped = 0
        self._start = file.tell() if is_wav and file.seekable() else None
        if is_wav:
            self._put(self._header(UNKNOWN))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_wav:
            self._put(b"\0" * (self._size % 2))  # chunks end at even places
            self._set_lengths()

    def write(self, audio: np.ndarray) -> None:
        """Write float [C,n].

        Raises:
            InputError: the disk is full, or the place cannot be written.
            BrokenPipeError: nobody reads any more.
        """
        if self._encoding != "f32le":
            self.clipped += int(np.count_nonzero(np.abs(audio) > 1))
        data = encode(audio, self._encoding)
        self._size += len(data)
        self._put(data)

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(self._name, error) from error

    def _header(self, size: int) -> bytes:
        size = min(size, UNKNOWN)  # four bytes say no more than 4 GiB
        sample_rate, channels = self._format
        bits = BITS[self._encoding]
        tag = _FLOAT if self._encoding == "f32le" else _INTEGER
        frame = channels * bits // 8
        riff = min(36 + size + size % 2, UNKNOWN)
        return struct.pack("<4sI4s4s", b"RIFF", riff, b"WAVE", b"fmt ") + struct.pack(
            "<IHHIIHH4sI", 16, tag, channels, sample_rate, sample_rate * frame, frame, bits, b"data", size
        )

    def _set_lengths(self) -> None:
        """Write the header anew where the file can be sought in and nobody else wrote into it."""
        if self._start is None:
            return
        header, end = self._header(self._size), self._file.tell()
        if end == self._start + len(header) + self._size + self._size % 2:
            self._file.seek(self._start)
            self._put(header)
            self._file.seek(end)
