"""Decoded sound in a temporary file, and writing through libsndfile with the errors of the disk. Torch-free."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO, cast

import numpy as np
import soundfile

from sordino.errors import InputError


class Disk:
    """A file object that libsndfile writes through and that keeps the operating system's error.

    libsndfile reports that a write failed, but not why (disk full, quota, ...).
    """

    def __init__(self, raw: io.RawIOBase) -> None:
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

    @property
    def failed(self) -> bool:
        """Whether a write has failed."""
        return self._error is not None

    def check(self) -> None:
        """Raise the operating system's error, if a write has failed."""
        if self._error is not None:
            raise self._error


@contextmanager
def block_writer(file: soundfile.SoundFile, disk: Disk) -> Iterator[Callable[[np.ndarray], None]]:
    """Context manager: yield a function that writes a block, float [n,C], and close the file at the end.

    Where libsndfile fails because the disk does, the operating system's own error is raised. A thread makes the calls:
    a signal such as Ctrl-C interrupts the main thread alone, and would be lost where libsndfile calls ``disk`` in it.
    """
    worker = ThreadPoolExecutor(1)

    def write(block: np.ndarray) -> None:
        try:
            worker.submit(file.write, block).result()
        except (soundfile.LibsndfileError, AssertionError):  # soundfile asserts that all was written
            disk.check()
            raise
        disk.check()  # python -O leaves assertions out

    try:
        with worker:
            try:
                yield write
            finally:
                worker.submit(file.close).result()
    except soundfile.LibsndfileError:
        disk.check()
        raise
    disk.check()


def temporary_sound(sample_rate: int, channels: int, blocks: Iterable[np.ndarray]) -> BinaryIO:
    """Write blocks, float [n,C], into a temporary file that is removed when it is closed.

    Returns:
        W64 of 32-bit floats, at its beginning.

    Raises:
        InputError: the temporary folder has no room for it.
    """
    raw = cast("io.RawIOBase", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115, the caller closes it
    disk = Disk(raw)
    try:
        target = cast("BinaryIO", disk)
        file = soundfile.SoundFile(target, "w", sample_rate, channels, "FLOAT", format="W64")
        with block_writer(file, disk) as write:
            for block in blocks:
                write(block)
    except BaseException as error:
        raw.close()
        if disk.failed:
            hint = "free some space, or name another folder in TMPDIR"
            raise InputError(tempfile.gettempdir(), "has no room for the decoded sound", hint=hint) from error
        raise
    raw.seek(0)
    return io.BufferedReader(raw)
