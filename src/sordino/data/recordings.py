"""Read recordings at one sample rate, in part or from memory; find files and their partners."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from sordino.audio.blocks import MP3_MISSING
from sordino.audio.folders import list_audio
from sordino.audio.mix import fit_noise
from sordino.audio.sound_files import info, read, read_compact, read_segment
from sordino.data.manifest import files
from sordino.errors import InputError

SYNTHETIC_MARK = "SYNTHETIC.md"
"""A file of this name in the top folder of a corpus marks it as synthetic."""

NO_RATIO = "_snrnone_"
"""In the name of a rendered mixture that is speech alone or noise alone, and so has no ratio of the two."""


class Recordings:
    """Sound files that are read as mono float32, all at one rate.

    Args:
        paths: the files; their headers are read at once, so that a bad file is reported before training starts.
        sample_rate: rate in Hz that all of them must have.
        cache: keep every file that was read in memory, decoded (as int16 if that is exact: 115 MB an hour at 16 kHz).
            Each worker process has its own cache.

    Raises:
        InputError: a file is unreadable, empty or at another rate.
    """

    def __init__(self, paths: Sequence[Path], sample_rate: int, cache: bool = False) -> None:
        self.paths = list(paths)
        self._kept: dict[int, np.ndarray] | None = {} if cache else None
        with ThreadPoolExecutor(8) as pool:
            headers = list(pool.map(info, self.paths))
        for path, header in zip(self.paths, headers, strict=True):
            if header.sample_rate != sample_rate:
                hint = f"resample the corpus once with `sordino data prepare --sample-rate {sample_rate}`"
                raise InputError(path, f"is at {header.sample_rate} Hz", f"{sample_rate} Hz", hint)
            if header.length == 0:
                hint = "remove it; `sordino data check` finds all such"
                raise InputError(path, "holds no samples (0 frames)", hint=hint)
        self.lengths = np.array([header.length for header in headers], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the cache out when the object is sent to a worker process."""
        return self.__dict__ | {"_kept": None if self._kept is None else {}}

    def read(self, index: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """Read file ``index`` from sample ``start`` on: float32 ``[T]``, shorter than ``length`` if it ends earlier.

        Raises:
            InputError: the file cannot be read, or has become shorter since the run began.
        """
        if self._kept is None:
            return self._whole(index, start, length, read_segment(self.paths[index], start, length))
        if index not in self._kept:
            self._kept[index] = read_compact(self.paths[index])
        audio = _float_copy(self._kept[index][start : _end(start, length)])
        return self._whole(index, start, length, audio)

    def _whole(self, index: int, start: int, length: int | None, audio: np.ndarray) -> np.ndarray:
        """Return all samples that were asked for; a file that was cut is refused, as libsndfile just ends earlier.

        An MP3 may end some frames early, which silence replaces.
        """
        path = self.paths[index]
        expected = int(self.lengths[index]) - start
        if length is not None:
            expected = min(length, expected)
        missing = expected - len(audio)
        if missing <= 0:
            return audio
        if path.suffix.lower() == ".mp3" and missing <= MP3_MISSING:
            return np.pad(audio, (0, missing))
        now = info(path)
        stated = self.lengths[index] / now.sample_rate
        if now.length < self.lengths[index]:
            found = f"was {stated:.2f} s long when the run began, and is {now.seconds:.2f} s now"
            raise InputError(path, found, hint="put the whole file back, and go on with --resume")
        raise InputError(path, f"ends before the {stated:.2f} s that its header promises", hint="copy it again")

    def loop(self, index: int, offset: int, length: int) -> np.ndarray:
        """Read exactly ``length`` samples of file ``index`` from ``offset`` on, repeating it as needed."""
        if offset + length <= self.lengths[index]:
            return self.read(index, offset, length)
        return fit_noise(self.read(index), length, offset)


class Responses(Recordings):
    """Impulse responses of rooms. Only the first channel is used: the mean of several microphones is no response."""

    def read(self, index: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """Read the first channel of file ``index``; arguments and result as for :meth:`Recordings.read`.

        Raises:
            InputError: also, a channel of silence: speech in that room would be silence as well.
        """
        audio, _ = read(self.paths[index])
        if not audio[0].any():
            raise InputError(self.paths[index], "has a silent first channel", "an impulse response", "leave it out")
        return audio[0, start : _end(start, length)]


def _float_copy(audio: np.ndarray) -> np.ndarray:
    """Return samples as float32, always in memory of their own: a caller may change them, and the cache must not."""
    if audio.dtype == np.int16:
        return audio.astype(np.float32) / np.float32(32768)
    return audio.copy()


def _end(start: int, length: int | None) -> int | None:
    """Return the end of a slice of ``length`` samples; None for all that follow."""
    return None if length is None else start + length


def is_synthetic(folder: str | Path) -> bool:
    """Whether a folder is in a corpus that ``Synthetic.write`` wrote; results on it must be marked as synthetic."""
    folder = Path(folder).absolute()
    places = (folder, *folder.parents[:2])
    return any((place / SYNTHETIC_MARK).is_file() for place in places)


def audio_below(folder: str | Path, exclude: Iterable[str] = (), manifest: str | None = None) -> list[Path]:
    """List the sound files in ``folder`` and its subfolders that are not excluded.

    Args:
        folder: folder to search.
        exclude: patterns (with ``*`` and ``?``) that are compared with the path relative to ``folder`` and with each
            folder or file name in it: ``esc50-cc0`` leaves out that folder, ``*/siren/*`` all folders of that name,
            ``*.mp3`` all files of that suffix.
        manifest: a manifest; files that it does not list are left out.

    Raises:
        InputError: the folder is missing or nothing is left.
    """
    folder, patterns = Path(folder), list(exclude)
    listed = None if manifest is None else files(manifest)

    paths = []
    for path in list_audio(folder):
        is_listed = listed is None or Path(os.path.abspath(path)) in listed
        if is_listed and not _excluded(path.relative_to(folder), patterns):
            paths.append(path)
    if not paths:
        found = "holds no sound files"
        if patterns or manifest:
            found += " that are not left out"
        raise InputError(folder, found)
    return paths


def _excluded(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a pattern fits a relative path as a whole, or one of its folders, or its file name."""
    names = (path.as_posix(), *path.parts)
    return any(fnmatch.fnmatchcase(name, pattern) for name, pattern in product(names, patterns))


def pair_files(noisy: str | Path, clean: str | Path, manifest: str | None = None) -> list[tuple[str, Path, Path]]:
    """Pair the files of two folders, or those of them that a manifest lists.

    Two files are a pair if their paths relative to the folders are equal except for the suffix, or end in the same
    ``fileid_N`` (DNS Challenge).

    Returns:
        ``(id, noisy path, clean path)``, sorted by id.

    Raises:
        InputError: a folder is missing or empty, a file has no partner, or two files have the same id.
    """
    noisy_files = _keyed(audio_below(noisy, (), manifest), Path(noisy))
    clean_files = _keyed(audio_below(clean, (), manifest), Path(clean))
    for here, there, folder in ((noisy_files, clean_files, clean), (clean_files, noisy_files, noisy)):
        missing = sorted(set(here) - set(there))
        if missing:
            found = f"has no partner in {folder} ({len(missing)} of {len(here)} files have none)"
            hint = "add or remove files; `sordino data check` lists them all"
            raise InputError(here[missing[0]], found, hint=hint)
    return [(key, noisy_files[key], clean_files[key]) for key in sorted(noisy_files)]


def pair_key(path: Path, root: Path) -> str:
    """Return the id that a noisy file shares with its clean partner: its path relative to ``root``, or ``fileid_N``."""
    key = path.relative_to(root).with_suffix("").as_posix()
    file_id = re.search(r"fileid_\d+$", key)
    return file_id.group() if file_id else key


def _keyed(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Return the files by their ids; an InputError if two have the same."""
    keyed: dict[str, Path] = {}
    for path in paths:
        key = pair_key(path, folder)
        if key in keyed:
            raise InputError(path, f"goes by the same name as {keyed[key]}", hint="remove one of the two")
        keyed[key] = path
    return keyed
