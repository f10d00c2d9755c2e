"""Sound files written block by block, all of a file or nothing, in memory that does not grow with them.

``encoder`` writes what is ready to be written. ``leveller`` writes what nobody knows the peak of yet: it keeps the
floats beside the file until the end, and then turns the whole down if it would clip. Torch-free.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile

from sordino.audio.blocks import FORMATS
from sordino.errors import InputError
from sordino.files import atomic

FLOATS = ("FLOAT", "DOUBLE")
"""Subtypes that hold what lies beyond full scale."""

_NARROW = ("WAV", "AIFF", "AU")
_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
"""Formats whose headers count bytes in 32 bits, and those of a sample."""

Put = Callable[[np.ndarray], None]


@contextmanager
def encoder(
    path: str | Path, sample_rate: int, channels: int, subtype: str | None = None, length: int = 0
) -> Iterator[Put]:
    """Write a sound file block by block, all of it or none; what lies beyond full scale is clipped in most subtypes.

    Args:
        path: where to; the suffix chooses the format.
        sample_rate: Hz.
        channels: of every block.
        subtype: libsndfile's name of the encoding, such as ``PCM_24`` or ``FLOAT``; None takes the format's default.
        length: samples per channel to come, where that is known: too many for the format are refused at once.

    Yields:
        A function that takes the next block, float [C,n].

    Raises:
        InputError: an unknown suffix, a rate or subtype that the format cannot hold, or a place that cannot be
            written, such as a full disk.
    """
    path = Path(path)
    subtype, form = subtype_for(path, subtype), FORMATS[path.suffix.lower()]
    if form in _NARROW and length * channels * _BYTES.get(subtype, 0) >= 2**32 - 2**16:
        raise InputError(path, f"{length * channels} samples do not fit into {form}", "less than 4 GiB", "write .flac")
    with atomic(path) as temporary, open(temporary, "wb", buffering=0) as raw:
        disk = _Disk(raw)
        try:
            file = soundfile.SoundFile(
                cast("BinaryIO", disk), "w", sample_rate, channels, subtype, format=FORMATS[path.suffix.lower()]
            )
        except (soundfile.LibsndfileError, ValueError, TypeError) as error:
            disk.check()
            raise InputError(path, f"cannot be encoded as {subtype} at {sample_rate} Hz ({error})") from error

        def put(audio: np.ndarray) -> None:
            try:
                file.write(audio.T)
            except (soundfile.LibsndfileError, AssertionError):  # soundfile asserts that all was written
                disk.check()
                raise
            disk.check()

        try:
            with file:
                yield put
        except soundfile.LibsndfileError:
            disk.check()
            raise
        disk.check()


class Leveller:
    """Takes a sound block by block whose peak nobody knows before its end; see :func:`leveller`."""

    def __init__(self, put: Put, channels: int, spool: BinaryIO | None) -> None:
        self._put, self._channels, self._spool = put, channels, spool
        self._peak = 1.0

    def __call__(self, audio: np.ndarray) -> None:
        """Take the next block, float [C,n]."""
        if self._spool is None:
            self._put(audio)
            return
        self._peak = max(self._peak, float(np.abs(audio).max(initial=0.0)))
        self._spool.write(audio.T.astype(np.float32).tobytes())

    @property
    def gain_db(self) -> float:
        """By how much the sound so far has to be turned down: 0, or below it."""
        return -20 * math.log10(self._peak)

    def finish(self) -> None:
        """Encode all that was kept, turned down to fit."""
        if self._spool is None:
            return
        self._spool.seek(0)
        while data := self._spool.read(4 * self._channels * 2**15):
            self._put(np.frombuffer(data, np.float32).reshape(-1, self._channels).T / np.float32(self._peak))


@contextmanager
def leveller(
    path: str | Path, sample_rate: int, channels: int, subtype: str | None = None, length: int = 0
) -> Iterator[Leveller]:
    """As :func:`encoder`, but nothing is clipped: a sound that does not fit is turned down as a whole.

    Until its end it lies beside ``path``, 4 bytes for each sample, in a file without a name that goes when the process
    does. Subtypes that hold floats need no turning down and are encoded at once.
    """
    path = Path(path)
    with encoder(path, sample_rate, channels, subtype, length) as put, ExitStack() as stack:
        at_once = subtype_for(path, subtype) in FLOATS
        spool = None if at_once else stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
        levelled = Leveller(put, channels, spool)
        yield levelled
        levelled.finish()


def subtype_for(path: str | Path, subtype: str | None = None) -> str:
    """The encoding in which ``path`` is written: ``subtype``, or the default of the format.

    Raises:
        InputError: an unknown suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(path, f"unknown suffix {suffix!r}", "one of " + ", ".join(FORMATS))
    return subtype or ("OPUS" if suffix == ".opus" else str(soundfile.default_subtype(FORMATS[suffix])))


class _Disk:
    """A file for libsndfile to write through, which cannot say why the operating system refused; this one can."""

    def __init__(self, raw: RawIOBase) -> None:
        self._raw = raw
        self._error: OSError | None = None
        self.seek, self.tell = raw.seek, raw.tell

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        try:
            while left:
                left = left[self._raw.write(left) or 0 :]
        except OSError as error:
            self._error = error
        return len(data) - len(left)

    def check(self) -> None:
        """Raise what the operating system said, if it refused anything."""
        if self._error is not None:
            raise self._error
