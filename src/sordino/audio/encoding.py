"""Write sound files block by block, atomically, in memory that does not grow with the file's length.

``encoder`` writes blocks as they come. ``unclipped_encoder`` is for signals whose peak is known only at the end: it
keeps the floats in a temporary file, and attenuates the whole signal at the end if it would clip. Torch-free.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile

from sordino.audio import media
from sordino.audio.blocks import FORMATS
from sordino.audio.temporary import Disk, block_writer
from sordino.errors import InputError
from sordino.files import atomic

FLOATS = ("FLOAT", "DOUBLE")
"""Subtypes that can hold samples beyond full scale."""

_NARROW = ("WAV", "AIFF", "AU")
"""Formats whose headers count bytes in 32 bits, so that a file stays below 4 GiB."""
_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
"""Subtype -> bytes of a sample."""

RATES = {
    "OPUS": (8000, 12000, 16000, 24000, 48000),
    "MPEG_LAYER_III": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
"""Encoding -> sample rates in Hz that it has, where it has not all."""

WriteBlock = Callable[[np.ndarray], None]


@contextmanager
def encoder(
    path: str | Path,
    sample_rate: int,
    channels: int,
    subtype: str | None = None,
    length: int = 0,
    tags: Mapping[str, str] | None = None,
) -> Iterator[WriteBlock]:
    """Context manager that writes a sound file block by block.

    The file appears under its name when the block ends without an error, complete. Samples beyond full scale are
    clipped in all subtypes but ``FLOATS``.

    Args:
        path: file to write; the suffix chooses the format.
        sample_rate: Hz.
        channels: channels of every block.
        subtype: libsndfile's name of the encoding, such as ``PCM_24`` or ``FLOAT``; None takes the format's default.
        length: samples per channel to come, 0 if unknown; too many for the format raise an error at once.
        tags: libsndfile's name of a tag (``title``, ``artist``, ...) -> its text; those that the format lacks are left
            out.

    Yields:
        A function that writes the next block, float [C,n].

    Raises:
        InputError: an unknown suffix, a rate or subtype that the format cannot hold, or a file that cannot be
            written, for example on a full disk.
    """
    path = Path(path)
    subtype, form = subtype_for(path, subtype), FORMATS[path.suffix.lower()]
    # 64 KiB less than 4 GiB leave room for the header.
    if form in _NARROW and length * channels * _BYTES.get(subtype, 0) >= 2**32 - 2**16:
        raise InputError(path, f"{length * channels} samples do not fit into {form}", "less than 4 GiB", "write .flac")
    with atomic(path) as temporary, open(temporary, "wb", buffering=0) as raw:
        disk = Disk(raw)
        file = _new_file(path, disk, sample_rate, channels, subtype)
        for name, text in (tags or {}).items():
            with suppress(soundfile.LibsndfileError):  # a format that has no such tag
                setattr(file, name, text)
        with block_writer(file, disk) as write:
            yield lambda audio: write(audio.T)


def _new_file(path: Path, disk: Disk, sample_rate: int, channels: int, subtype: str) -> soundfile.SoundFile:
    """Open what will be ``path`` for writing on ``disk``."""
    target, form = cast("BinaryIO", disk), FORMATS[path.suffix.lower()]
    try:
        return soundfile.SoundFile(target, "w", sample_rate, channels, subtype, format=form)
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        disk.check()
        reason = getattr(error, "error_string", str(error))
        found = f"cannot hold {channels} channel(s) of {subtype} at {sample_rate} Hz ({reason})"
        raise InputError(path, found, hint="write .wav, which holds any") from error


class UnclippedEncoder:
    """Writes a signal block by block and attenuates it at the end if it would clip; see :func:`unclipped_encoder`.

    Args:
        write: writes a block to the file.
        channels: channels of every block.
        spool: temporary file that keeps the samples until the peak is known; None writes every block at once.
    """

    def __init__(self, write: WriteBlock, channels: int, spool: BinaryIO | None) -> None:
        self._write, self._channels, self._spool = write, channels, spool
        self._peak = 1.0

    def __call__(self, audio: np.ndarray) -> None:
        """Take the next block, float [C,n]."""
        if self._spool is None:
            self._write(audio)
            return
        self._peak = max(self._peak, float(np.abs(audio).max(initial=0.0)))
        self._spool.write(audio.T.astype(np.float32).tobytes())

    @property
    def gain_db(self) -> float:
        """Gain in dB that the signal so far needs in order to fit: 0 or below."""
        return 0.0 - 20 * math.log10(self._peak)  # of a peak of 1 it is 0.0: a minus sign alone would make it -0.0

    def finish(self) -> None:
        """Encode the samples kept in the temporary file, attenuated to fit."""
        if self._spool is None:
            return
        self._spool.seek(0)
        while data := self._spool.read(4 * self._channels * 2**15):
            self._write(np.frombuffer(data, np.float32).reshape(-1, self._channels).T / np.float32(self._peak))


@contextmanager
def unclipped_encoder(
    path: str | Path,
    sample_rate: int,
    channels: int,
    subtype: str | None = None,
    length: int = 0,
    tags: Mapping[str, str] | None = None,
) -> Iterator[UnclippedEncoder]:
    """Context manager like :func:`encoder` that clips nothing: a signal that does not fit is attenuated as a whole.

    Until the end its samples are kept in an unnamed temporary file in the folder of ``path``, 4 bytes each, which the
    operating system removes when the process ends. Subtypes that hold floats need no attenuation and are encoded at
    once. Arguments and errors are those of :func:`encoder`.
    """
    path = Path(path)
    with encoder(path, sample_rate, channels, subtype, length, tags) as write, ExitStack() as stack:
        spool = None
        if subtype_for(path, subtype) not in FLOATS:
            spool = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
        unclipped = UnclippedEncoder(write, channels, spool)
        yield unclipped
        unclipped.finish()


def holdable(path: str | Path, sample_rate: int, subtype: str | None) -> tuple[int, str | None]:
    """Return the rate in Hz and the encoding in which a file can hold a recording, nearest to those asked for.

    Args:
        path: file to write; the suffix chooses the format.
        sample_rate: Hz; of a format with few rates, the next one above it is returned, or its highest.
        subtype: libsndfile's name of the encoding; None is returned where the format has no such encoding.
    """
    if subtype is not None and not _writes(path, subtype):
        subtype = None
    rates = RATES.get(subtype_for(path, subtype), (sample_rate,))
    return min((rate for rate in rates if rate >= sample_rate), default=max(rates)), subtype


def _writes(path: str | Path, subtype: str) -> bool:
    """Whether libsndfile writes this encoding in the format of ``path``; it reads some that it does not write."""
    form = FORMATS.get(Path(path).suffix.lower())
    try:
        soundfile.SoundFile(BytesIO(), "w", 16000, 1, subtype, format=form).close()
    except (soundfile.LibsndfileError, ValueError, TypeError):
        return False
    return True


def subtype_for(path: str | Path, subtype: str | None = None) -> str:
    """Return the encoding in which ``path`` is written: ``subtype``, or the format's default.

    Raises:
        InputError: an unknown suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix in media.SUFFIXES:
        hint = "take .wav or .flac, and see docs/enhance.md for the sound of a video"
        raise InputError(path, f"{suffix} can be read, but not written", "one of " + ", ".join(FORMATS), hint)
    if suffix not in FORMATS:
        raise InputError(path, f"unknown suffix {suffix!r}", "one of " + ", ".join(FORMATS))
    return subtype or ("OPUS" if suffix == ".opus" else str(soundfile.default_subtype(FORMATS[suffix])))
