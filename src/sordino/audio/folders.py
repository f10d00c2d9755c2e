"""Folders of sound files: what lies in them, and what to do where one is missing. Torch-free."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from sordino.audio.blocks import SUFFIXES
from sordino.errors import InputError

PREPARED = "-16k"
"""What the name of a folder of copies at the networks' rate ends in, after that of the folder they were made from."""


def list_audio(folder: str | Path, unreadable: list[InputError] | None = None) -> list[Path]:
    """List the sound files in ``folder`` and its subfolders, linked ones too, sorted, without hidden ones.

    Args:
        folder: to look through.
        unreadable: gets the errors of subfolders that cannot be read; they are raised when it is left out.

    Raises:
        InputError: there is no such folder, or one of its folders cannot be read.
    """
    demand_folder(folder)
    recordings, seen, places = [], set(), [str(folder)]
    for place in places:  # which grows on the way: level by level, so that a file is found by its shortest path
        if os.path.realpath(place) in seen:  # a link to a folder above would go on for ever
            continue
        seen.add(os.path.realpath(place))
        try:
            entries = _entries(place)
        except InputError as error:
            if unreadable is None or place == str(folder):
                raise
            unreadable.append(error)
            continue
        for entry in entries:
            if entry.is_dir():
                places.append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file():
                recordings.append(Path(entry.path))
    return sorted(recordings)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What lies in a folder and is not hidden, links last: the same order on every disk."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(folder, f"cannot be read ({error.strerror})") from error
    return sorted(shown, key=lambda entry: (entry.is_symlink(), entry.name))


def demand_folder(folder: str | Path) -> None:
    """Refuse a folder that is not there.

    Raises:
        InputError: there is none; the hint is the command that makes it, where it is for copies not made yet.
    """
    if not Path(folder).is_dir():
        raise InputError(folder, "there is no such folder", hint=_command(Path(folder)) or "check the path")


def _command(folder: Path) -> str:
    """The command that makes the copies that ``folder`` belongs to; empty if it belongs to none."""
    for copies in map(str, (folder, *folder.parents)):
        original = copies.removesuffix(PREPARED)
        if original != copies and os.path.isdir(original) and not os.path.exists(copies):
            return shlex.join(["sordino", "data", "prepare", original, copies]) + " makes it"
    return ""
