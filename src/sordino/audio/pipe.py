"""Read and write audio through a pipe: raw PCM, or WAV of unknown length, in blocks as they arrive.

libsndfile needs files that are seekable, which a pipe is not. ``sordino.audio.wav`` reads and builds the headers.
Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from sordino.audio.pcm import BITS, LOUDEST, WERE_INTEGERS, check_shape, decode, encode
from sordino.audio.wav import AFTER_SOUND, READABLE, UNKNOWN, WavFormat, header, read_header
from sordino.errors import InputError
from sordino.files import unwritable

_INPUT, _OUTPUT = "standard input", "standard output"
"""What errors call the streams."""
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
"""First bytes of other formats, which are refused: as raw samples they would be loud noise."""


class Reader:
    """Reads samples from a stream of bytes, raw or WAV.

    Args:
        file: a binary file; it is read from its current position and need not be seekable.
        sample_rate: rate of raw samples in Hz; for WAV the header states it, and a value given here must agree.
        channels: channels of raw samples; for WAV as ``sample_rate``.
        encoding: encoding of raw samples, a key of ``BITS``; for WAV the header states it. Raw samples have no mark by
            which they could be recognised, so at least one of the three must be given for them; the others are then
            16000 Hz, one channel and ``s16le``.

    Raises:
        InputError: the header is cut short, belongs to a format that is not read here, or contradicts the arguments.
    """

    def __init__(
        self,
        file: BinaryIO,
        sample_rate: int | None = None,
        channels: int | None = None,
        encoding: str | None = None,
    ) -> None:
        self._file = file
        self._pushed_back = b""  # bytes that were read to recognise the format and belong to the samples
        self._read = 0  # bytes of samples so far
        self._stated: int | None = None  # bytes of samples by the header; None where it leaves them open
        self._fault: InputError | None = None  # why the samples ended before the stream
        self.sample_rate = 16000 if sample_rate is None else sample_rate
        self.channels = 1 if channels is None else channels
        self.encoding = encoding or "s16le"
        magic = self._take(4)
        if magic in _FOREIGN:
            hint = "decode it first, for example with ffmpeg -i - -f wav -"
            raise InputError(_INPUT, f"is {_FOREIGN[magic]}", READABLE, hint)
        self.is_wav = magic == b"RIFF"
        if self.is_wav:
            form, self._stated = read_header(self._take, _INPUT)
            if self._stated is None:
                self._pushed_back = self._take(4)
                if self._pushed_back in AFTER_SOUND:
                    self._stated = 0
            self.sample_rate, self.channels, self.encoding = form
            self._check_agreement(sample_rate, self.sample_rate, "Hz")
            self._check_agreement(channels, self.channels, "channel(s)")
        elif (sample_rate, channels, encoding) == (None, None, None) and magic:
            hint = "decode it first, for example with ffmpeg -i - -f wav -; of raw samples say the rate or the format"
            raise InputError(_INPUT, "is no WAV", READABLE, hint)
        else:
            self._pushed_back = magic
        check_shape(_INPUT, self.sample_rate, self.channels)
        self._frame = BITS[self.encoding] // 8 * self.channels  # bytes of one sample of every channel

    def blocks(self, length: int) -> Iterator[np.ndarray]:
        """Yield float32 [C,length] until the stream ends, the last block shorter; call ``check_end`` afterwards.

        The stream also ends before a sample that is none: NaN, or far beyond full scale.
        """
        while True:
            size = length * self._frame
            if self._stated is not None:
                # What follows the samples is another chunk of the WAV file, and no sound.
                size = min(size, self._stated - self._read)
            data = self._take(size)
            self._read += len(data)
            whole = len(data) - len(data) % self._frame
            block = decode(data[:whole], self.encoding, self.channels)
            usable = self._usable(block)
            if usable:
                yield block[:, :usable]
            if usable < length:
                return

    def _usable(self, block: np.ndarray) -> int:
        """Count the samples before the first that is none; that one is kept as the stream's fault."""
        if self.encoding != "f32le":  # integers are always within full scale
            return block.shape[1]
        good = np.abs(block) <= LOUDEST  # NaN is not
        if good.all():
            return block.shape[1]
        at = int(good.all(axis=0).argmin())
        value = block[good[:, at].argmin(), at]
        before = self._read // self._frame - block.shape[1]
        seconds = (before + at) / self.sample_rate
        hint = WERE_INTEGERS if np.isfinite(value) else "mend what writes them"
        self._fault = InputError(_INPUT, f"a sample of {value:g} at {seconds:.2f} s", "full scale at 1", hint)
        return at

    def check_end(self) -> None:
        """Check that the stream was not cut short.

        Raises:
            InputError: it ended within a sample, before the length stated in its header, or before a sample that is
                none.
        """
        if self._fault is not None:
            raise self._fault
        rest = self._read % self._frame
        if rest:
            found = f"ends with {rest} byte(s) that are no whole sample of {self.channels} channel(s)"
            raise InputError(_INPUT, found, f"{self._frame} bytes for each", "was it cut short?")
        if self._stated is not None and self._read < self._stated:
            bytes_per_s = self._frame * self.sample_rate
            seconds, stated = self._read / bytes_per_s, self._stated / bytes_per_s
            raise InputError(_INPUT, f"ends after {seconds:.2f} s where its header promises {stated:.2f} s")

    def _check_agreement(self, given: int | None, stated: int, unit: str) -> None:
        """Raise an InputError if the caller gave another value than the header states."""
        if given not in (None, stated):
            raise InputError(_INPUT, f"its header says {stated} {unit}, not {given}", hint="leave that option out")

    def _take(self, size: int) -> bytes:
        """Read ``size`` bytes; fewer only at the end of the stream."""
        data, self._pushed_back = self._pushed_back[:size], self._pushed_back[size:]
        # A single read of a pipe may return fewer bytes than asked for while more are still to come.
        while len(data) < size:
            received = self._file.read(size - len(data))
            if not received:
                break
            data += received
        return data


class Writer:
    """Writes samples to a stream of bytes, raw or WAV, and flushes after every block.

    As a context manager it ends the stream on exit, also after an error, so that a WAV file states its length.

    Args:
        file: a binary file, unbuffered for the lowest delay. If it is seekable, the lengths in the WAV header are
            written at the end; until then, and in a pipe, they are the placeholder 0xFFFFFFFF.
        sample_rate: Hz.
        channels: channels of every block.
        encoding: a key of ``BITS``.
        is_wav: whether a WAV header is written first.

    Attributes:
        clipped: number of samples so far that were clipped: integers hold none beyond full scale.
    """

    def __init__(
        self,
        file: BinaryIO,
        sample_rate: int,
        channels: int,
        encoding: str = "s16le",
        is_wav: bool = True,
    ) -> None:
        self._file, self._is_wav = file, is_wav
        self._format = WavFormat(sample_rate, channels, encoding)
        self._size = 0
        self.clipped = 0
        # Where the header lies; None where it cannot be written again.
        self._start = file.tell() if is_wav and file.seekable() else None
        if is_wav:
            self._put(header(self._format, UNKNOWN))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_wav:
            self._put(b"\0" * (self._size % 2))  # chunks end at even offsets
            self._set_lengths()

    def write(self, audio: np.ndarray) -> None:
        """Write a block, float [C,n].

        Raises:
            InputError: the stream cannot be written, for example because the disk is full.
            BrokenPipeError: the reading process has closed the pipe.
        """
        if self._format.encoding != "f32le":
            self.clipped += int(np.count_nonzero(np.abs(audio) > 1))
        data = encode(audio, self._format.encoding)
        self._size += len(data)
        self._put(data)

    def _put(self, data: bytes) -> None:
        """Write all of ``data`` and flush it; an unbuffered file may take only part of it at a time."""
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(_OUTPUT, error) from error

    def _set_lengths(self) -> None:
        """Write the header again with the true lengths, if the file is seekable."""
        if self._start is None:
            return
        whole, end = header(self._format, self._size), self._file.tell()
        # At any other position something else was written into the file, and the header must not overwrite it.
        if end == self._start + len(whole) + self._size + self._size % 2:
            self._file.seek(self._start)
            self._put(whole)
            self._file.seek(end)
