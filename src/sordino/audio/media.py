"""Sound of phones and videos, which libsndfile does not read: decoded once, with PyAV, into a temporary file.

PyAV (``pip install 'sordino[media]'``) carries FFmpeg's decoders in its wheels. The first audio stream of a file is
taken, at its own rate and with its own channels. Torch-free.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import soundfile

from sordino.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

SUFFIXES = frozenset(
    {".m4a", ".mp4", ".m4v", ".aac", ".webm", ".amr", ".ac3", ".wma", ".mka", ".mkv", ".3gp", ".mov", ".avi"}
)
"""Suffixes of files that are read in this way."""


def decoded(path: Path) -> BinaryIO:
    """Decode the sound of a file into a temporary file of 32-bit floats, which is removed when it is closed.

    Returns:
        W64, at its beginning.

    Raises:
        InputError: PyAV is not installed, or the file holds no sound that it can decode.
    """
    av = _pyav(path)
    target = tempfile.TemporaryFile()
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(path, "holds no audio stream", "a recording")
            _copy(av, container, container.streams.audio[0], target)
    except av.error.FFmpegError as error:
        target.close()
        raise InputError(path, f"cannot be decoded ({error.strerror})", hint="copy or download it again") from error
    except BaseException:
        target.close()
        raise
    target.seek(0)
    return target  # pyright: ignore[reportReturnType]


def _copy(av: ModuleType, container: object, stream: object, target: object) -> None:
    """Write all frames of an audio stream, interleaved floats, as W64."""
    rate, channels = stream.rate, stream.channels  # pyright: ignore[reportAttributeAccessIssue]
    resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=rate)  # pyright: ignore[reportAttributeAccessIssue]
    with soundfile.SoundFile(target, "w", rate, channels, "FLOAT", format="W64") as file:  # pyright: ignore[reportArgumentType]
        for frame in container.decode(stream):  # pyright: ignore[reportAttributeAccessIssue]
            for part in resampler.resample(frame):
                file.write(part.to_ndarray().reshape(-1, channels))
        for part in resampler.resample(None):
            file.write(part.to_ndarray().reshape(-1, channels))


def _pyav(path: Path) -> ModuleType:
    try:
        import av
    except ModuleNotFoundError as error:
        found = f"is {path.suffix}, which libsndfile does not read"
        raise InputError(path, found, hint="run pip install 'sordino[media]', or convert it to .wav first") from error
    return av
