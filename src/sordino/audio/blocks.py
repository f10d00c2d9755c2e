"""Open sound files, and read them block by block, in memory that does not grow with their length.

What a header states is a claim: a length that it leaves open is found (``audio/headers``), a file that ends before the
length it states raises an error, and so do rates and numbers of channels that no recording has. Torch-free.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from sordino.audio import media
from sordino.audio.forward import ForwardFile, OwnFile
from sordino.audio.headers import OPEN_64, completed
from sordino.audio.joined import joined
from sordino.audio.pcm import check_shape, cut_short
from sordino.audio.wav import is_placeholder
from sordino.errors import InputError

FORMATS = {
    ".wav": "WAV",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".oga": "OGG",
    ".opus": "OGG",
    ".mp3": "MP3",
    ".aiff": "AIFF",
    ".aif": "AIFF",
    ".aifc": "AIFF",
    ".au": "AU",
    ".caf": "CAF",
    ".w64": "W64",
    ".rf64": "RF64",
}
"""File suffix -> libsndfile's name of the format."""

READABLE = "a sound file (" + ", ".join(suffix[1:] for suffix in FORMATS) + ")"

SUFFIXES = frozenset(FORMATS) | media.SUFFIXES
"""Suffixes of files that are taken for sound in a folder."""

_STATED_BYTES = re.compile(r"^\s*(?:data|SSND|Data [Ss]ize)\s*:\s*(\d+)( \(should be)?", re.MULTILINE)
"""The line of libsndfile's log that holds the number of sample bytes stated in the header of WAV, AIFF, AU, CAF, W64
and RF64; in the first four it says so if fewer are there."""

MP3_MISSING = 5 * 1152
"""Samples of an MP3 that may be missing, five frames: encoders do not agree on whether the first and the last count."""


def open_sound(
    path: str | Path, kind: type[soundfile.SoundFile] = OwnFile, most: float = math.inf
) -> soundfile.SoundFile:
    """Open a sound file for reading, as an object of the class ``kind``.

    Phone and video sound is decoded into a temporary file first, with PyAV. What has to be decoded to be opened may
    hold ``most`` samples of all channels.

    Raises:
        InputError: the file is missing, a folder, empty, may not be read or is not audio, PyAV is needed and not
            installed, or its header states a rate or a number of channels that no recording has.
    """
    path = Path(path)
    _demand_content(path)
    if path.suffix.lower() in media.SUFFIXES:
        file = kind(media.decoded(path, most))
    else:
        try:
            # As bytes, since a name need not be UTF-8; soundfile's hint does not name them.
            file = kind(completed(path, most) or joined(path, most) or os.fsencode(path))  # pyright: ignore[reportArgumentType]
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a headerless format, which needs a rate
            raise InputError(path, "cannot be read as audio", READABLE) from error
    with ExitStack() as on_error:
        on_error.callback(file.close)
        check_shape(path, file.samplerate, file.channels)
        on_error.pop_all()  # it stays open
    return file


class Origin(NamedTuple):
    """What a file on disk says of itself; where it is decoded to be opened, the open file no longer says so."""

    subtype: str | None
    """libsndfile's name of the encoding; None where libsndfile does not read the file itself."""
    tags: dict[str, str]
    """libsndfile's name of a tag -> its text, without the program that wrote the file."""


def origin_of(path: str | Path) -> Origin:
    """Return the encoding and the tags of a file that ``open_sound`` has opened."""
    if Path(path).suffix.lower() in media.SUFFIXES:
        return Origin(None, media.tags_of(Path(path)))
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:  # pyright: ignore[reportArgumentType]
            tags = {name: text for name, text in file.copy_metadata().items() if name != "software"}
            return Origin(file.subtype, tags)
    except soundfile.LibsndfileError:
        return Origin(None, {})


def _demand_content(path: Path) -> None:
    """Raise an InputError unless ``path`` is a file that can be read and is not empty."""
    try:
        if not path.exists():
            raise InputError(path, "there is no such file", hint="check the path")
        if path.is_dir():
            raise InputError(path, "is a folder", "a sound file")
        if not path.is_file():
            hint = "write sordino enhance --stream < PIPE > clean.wav, or save it to a file first"
            raise InputError(path, "is a pipe or a device, which cannot be read twice", "a file", hint)
        with open(path, "rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", hint="check who may read it") from error
    if empty:
        raise InputError(path, "is empty (0 bytes)", READABLE, "copy or download it again")


def read_blocks(path: str | Path, length: int) -> Iterator[np.ndarray]:
    """Read a sound file in blocks.

    Yields:
        float32 [C,length], full scale at +-1; the last block is shorter.

    Raises:
        InputError: before the first block: the file is missing, not audio, without samples, or shorter than its header
            states; later: it is damaged, cut short, or holds NaN or infinite samples.
    """
    with open_sound(path, ForwardFile) as file:
        yield from blocks_of(file, path, length)


def blocks_of(file: soundfile.SoundFile, path: str | Path, length: int) -> Iterator[np.ndarray]:
    """Read the rest of an open file in blocks; see ``read_blocks``."""
    if file.frames == 0:
        raise InputError(path, "holds no samples (0 frames)", "a recording", "remove the file or record it again")
    if isinstance(file.name, bytes):  # what was decoded or completed first has no header of its own
        _check_stated_length(file, path)
    read, stated = 0, file.frames
    while (block := _read_block(file, path, length)).size:
        read += block.shape[1]
        yield block
    if read < stated - (MP3_MISSING if file.format == "MP3" else 0):
        raise cut_short(path, read / file.samplerate, stated / file.samplerate)


def _read_block(file: soundfile.SoundFile, path: str | Path, length: int) -> np.ndarray:
    try:
        block = file.read(length, dtype="float32", always_2d=True).T
    except soundfile.LibsndfileError as error:
        raise damaged(path, error) from error
    check_finite(block, path)
    return block


def damaged(path: object, error: soundfile.LibsndfileError) -> InputError:
    """Return the error for a file that cannot be decoded to its end."""
    reason = str(error).replace("Error : ", "").rstrip(".")
    return InputError(path, f"is damaged ({reason})", hint="copy or download it again")


def check_finite(audio: np.ndarray, path: object) -> None:
    """Raise an InputError that names ``path`` if ``audio`` holds NaN or infinite samples."""
    if not np.isfinite(audio).all():
        raise InputError(path, "holds NaN or infinite samples", "finite numbers", "repair the sound or leave it out")


def _check_stated_length(file: soundfile.SoundFile, path: str | Path) -> None:
    """Raise an InputError if the file is shorter than its header states.

    libsndfile reads a file that was cut short without an error: it lowers the number of frames to what is there, and
    only its log (``extra_info``) keeps the header's number.
    """
    stated = _STATED_BYTES.search(file.extra_info)
    if stated is None:
        return
    size = Path(path).stat().st_size
    # A program that writes into a pipe cannot know the length, and leaves a huge placeholder in the header.
    promised = int(stated[1])
    is_open = promised >= OPEN_64 if file.format in ("W64", "RF64") else is_placeholder(promised)
    if (stated[2] or size < promised) and not is_open:
        found = f"ends after {file.frames / file.samplerate:.2f} s ({size} bytes)"
        raise InputError(path, found, f"the {promised} bytes of sound that its header promises", "was it cut short?")
