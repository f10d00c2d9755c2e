"""Sound files read block by block, in memory that does not grow with them.

A file that ends before its header says so is told from one that ends well. Torch-free.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from sordino.audio.pipe import PLACEHOLDER
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

_PROMISE = re.compile(r"^\s*(?:data|SSND|Data [Ss]ize)\s*:\s*(\d+)", re.MULTILINE)
"""What libsndfile says of a header's length in bytes; it goes on with what is there."""

MP3_SHORT = 0.1
"""The part of an MP3's length that may be missing: without a header of lengths libsndfile can but estimate it."""


class _Onward(soundfile.SoundFile):
    """Read from front to back. soundfile seeks behind every block that it reads, where it can, and an MP3 that was
    sought in goes on with samples that are none of its own."""

    def seekable(self) -> bool:
        return False


def opened(path: str | Path, kind: type[soundfile.SoundFile] = soundfile.SoundFile) -> soundfile.SoundFile:
    """Open a sound file to read.

    Raises:
        InputError: the file is missing, a folder, empty or not audio.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(path, "there is no such file", hint="check the path")
    if path.is_dir():
        raise InputError(path, "is a folder", "a sound file")
    if path.stat().st_size == 0:
        raise InputError(path, "is empty (0 bytes)", READABLE, "copy or download it again")
    try:
        return kind(path)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a headerless format, which needs a rate
        raise InputError(path, "cannot be read as audio", READABLE) from error


def read_blocks(path: str | Path, length: int) -> Iterator[np.ndarray]:
    """Yield a sound file as float32 [C,length], the last block shorter.

    Raises:
        InputError: before the first block: missing, not audio, without samples, or shorter than its header says;
            later: damaged, cut short, or NaN or infinite samples.
    """
    with opened(path, _Onward) as file:
        if file.frames == 0:
            raise InputError(path, "holds no samples (0 frames)", "a recording", "remove the file or record it again")
        _check_promise(file, path)
        read, wanted = 0, file.frames
        while (block := _next(file, path, length)).size:
            read += block.shape[1]
            yield block
        if read < wanted * (1 - MP3_SHORT * (file.format == "MP3")):
            found = f"ends after {read / file.samplerate:.2f} s"
            promised = f"the {wanted / file.samplerate:.2f} s that its header promises"
            raise InputError(path, found, promised, "was it cut short? copy or download it again")


def _next(file: soundfile.SoundFile, path: str | Path, length: int) -> np.ndarray:
    try:
        block = file.read(length, dtype="float32", always_2d=True).T
    except soundfile.LibsndfileError as error:
        raise InputError(path, f"is damaged ({error})", hint="copy or download it again") from error
    check_finite(block, path)
    return block


def check_finite(audio: np.ndarray, path: object) -> None:
    """Raise an InputError that names ``path`` where ``audio`` holds NaN or infinite samples."""
    if not np.isfinite(audio).all():
        raise InputError(path, "holds NaN or infinite samples", "finite numbers", "repair the sound or leave it out")


def _check_promise(file: soundfile.SoundFile, path: str | Path) -> None:
    """libsndfile reads what is there of a file that was cut short, and tells of the rest in its log alone."""
    said, there = _PROMISE.search(file.extra_info), Path(path).stat().st_size
    # Whoever wrote into a pipe could not know the length and left a placeholder.
    unknown = 2**62 if file.format in ("W64", "RF64") else PLACEHOLDER
    if said and there < int(said[1]) < unknown:
        found = f"ends after {file.frames / file.samplerate:.2f} s ({there} bytes)"
        raise InputError(path, found, f"the {said[1]} bytes of sound that its header promises", "was it cut short?")
