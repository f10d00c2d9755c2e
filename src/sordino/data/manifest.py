"""Read and write manifests: CSV files that list a corpus, a line per recording or pair.

The columns are id, noisy, clean, speaker, seconds, split.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from sordino.errors import InputError
from sordino.files import read_text, write_text


@dataclass(frozen=True)
class Entry:
    """A line. Clean speech has no ``noisy``; noise and recordings without a reference have no ``clean``."""

    id: str
    noisy: str
    clean: str
    speaker: str
    seconds: float
    split: str
    """train, valid or test; or speech and noise in a corpus that is mixed during training."""


HEADER = tuple(field.name for field in fields(Entry))


def write(path: str | Path, entries: Iterable[Entry]) -> None:
    """Write a manifest; paths are stored relative to its folder, so that both can be moved together.

    Names of files need not be UTF-8.
    """
    home = Path(path).absolute().parent

    def relative(name: str) -> str:
        return Path(os.path.relpath(Path(name).absolute(), home)).as_posix() if name else ""

    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(HEADER)
    for entry in entries:
        noisy, clean = relative(entry.noisy), relative(entry.clean)
        lines.writerow((entry.id, noisy, clean, entry.speaker, f"{entry.seconds:.3f}", entry.split))
    write_text(path, text.getvalue(), "surrogateescape")


def read(path: str | Path) -> list[Entry]:
    """Read a manifest; the paths returned include its folder.

    Raises:
        InputError: the file is missing or not a manifest; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "there is no such manifest", hint="write one with `sordino data check --fix`")
    lines = csv.reader(io.StringIO(read_text(path, errors="surrogateescape"), newline=""))
    entries = []
    try:
        if tuple(next(lines, ())) != HEADER:
            raise InputError(path, "is not a manifest", "a first line of " + ",".join(HEADER))
        for id, noisy, clean, speaker, seconds, split in lines:
            noisy, clean = (str(path.parent / name) if name else "" for name in (noisy, clean))
            entries.append(Entry(id, noisy, clean, speaker, _seconds(seconds), split))
    except InputError:
        raise
    except (ValueError, csv.Error) as error:
        raise InputError(path, f"line {lines.line_num} is not an entry ({error})", ",".join(HEADER)) from error
    return entries


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{text} s")
    return seconds


def files(path: str | Path) -> set[Path]:
    """Return the absolute paths of all files that a manifest lists; errors as in :func:`read`."""
    paths = set()
    for entry in read(path):
        paths |= {Path(os.path.abspath(name)) for name in (entry.noisy, entry.clean) if name}
    return paths
