"""Sound of phones and videos, which libsndfile does not read: decoded once, with PyAV, into a temporary file.

PyAV (``pip install 'sordino[media]'``) carries FFmpeg's decoders in its wheels. The first audio stream of a file is
taken, at its own rate and with its own channels. Torch-free.
"""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sordino.audio.headers import temporary_sound
from sordino.audio.pcm import check_shape, limited
from sordino.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

SUFFIXES = frozenset(
    {".m4a", ".mp4", ".m4v", ".aac", ".webm", ".amr", ".ac3", ".wma", ".mka", ".mkv", ".3gp", ".mov", ".avi"}
)
"""Suffixes of files that are read in this way."""


def decoded(path: Path, most: float = math.inf) -> BinaryIO:
    """Decode the sound of a file of up to ``most`` samples; see ``sordino.audio.headers.temporary_sound``.

    Raises:
        InputError: PyAV is not installed, or the file holds no sound that it can decode.
    """
    av = _pyav(path)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(path, "holds no audio stream", "a recording")
            stream = container.streams.audio[0]
            check_shape(path, stream.rate, stream.channels)
            resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=stream.rate)
            frames = chain(container.decode(stream), [None])  # None: what the resampler still holds
            parts = (part for frame in frames for part in resampler.resample(frame))
            blocks = (part.to_ndarray().reshape(-1, stream.channels) for part in parts)
            return temporary_sound(stream.rate, stream.channels, limited(blocks, most))
    except av.error.FFmpegError as error:
        raise InputError(path, f"cannot be decoded ({error.strerror})", hint="copy or download it again") from error


def _pyav(path: Path) -> ModuleType:
    try:
        import av
    except ModuleNotFoundError as error:
        found = f"is {path.suffix}, which libsndfile does not read"
        raise InputError(path, found, hint="run pip install 'sordino[media]', or convert it to .wav first") from error
    return av
