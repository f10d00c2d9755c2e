"""Manifest: a corpus on disk as one CSV, a line per recording or pair: id, noisy, clean, speaker, seconds, split."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from sordino.errors import InputError
from sordino.files import write_text


@dataclass(frozen=True)
class Entry:
    """A line. Speech alone has no ``noisy``; noise alone and recordings without a reference have no ``clean``."""

    id: str
    noisy: str
    clean: str
    speaker: str
    seconds: float
    split: str
    """train, valid or test; speech and noise in a corpus that is mixed on the fly."""


HEADER = tuple(field.name for field in fields(Entry))


def write(path: str | Path, entries: Iterable[Entry]) -> None:
    """Write a manifest; paths are stored relative to its folder, so that a corpus can be moved with it."""
    home = Path(path).absolute().parent

    def relative(name: str) -> str:
        return Path(os.path.relpath(Path(name).absolute(), home)).as_posix() if name else ""

    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(HEADER)
    for entry in entries:
        lines.writerow(
            (entry.id, relative(entry.noisy), relative(entry.clean), entry.speaker, f"{entry.seconds:.3f}", entry.split)
        )
    write_text(path, text.getvalue())


def read(path: str | Path) -> list[Entry]:
    """Read a manifest; paths come back joined to its folder.

    Raises:
        InputError: the file is missing or not a manifest; the line is told.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "there is no such manifest", hint="write one with `sordino data check --fix`")
    entries = []
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if tuple(next(lines, ())) != HEADER:
            raise InputError(path, "is not a manifest", "a first line of " + ",".join(HEADER))
        for cells in lines:
            try:
                id, noisy, clean, speaker, seconds, split = cells
                noisy, clean = (str(path.parent / name) if name else "" for name in (noisy, clean))
                entries.append(Entry(id, noisy, clean, speaker, float(seconds), split))
            except ValueError as error:
                raise InputError(path, f"line {lines.line_num} is not an entry ({error})", ",".join(HEADER)) from error
    return entries


def files(path: str | Path) -> set[Path]:
    """Every file that a manifest lists, as absolute paths; errors as in :func:`read`."""
    named = (name for entry in read(path) for name in (entry.noisy, entry.clean) if name)
    return {Path(os.path.abspath(name)) for name in named}
