"""Folders of sound files: what lies in them, and what to do where one is missing. Torch-free."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from sordino.audio.blocks import SUFFIXES
from sordino.errors import InputError

PREPARED = "-16k"
"""What the name of a folder of copies at the networks' rate ends in, after that of the folder they were made from."""


def list_audio(folder: str | Path) -> list[Path]:
    """List the sound files in ``folder`` and its subfolders, linked ones too, sorted, without hidden ones.

    Raises:
        InputError: there is no such folder.
    """
    demand_folder(folder)
    recordings, seen = [], set()
    for root, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(root)
        if place in seen:  # a link to a folder above would go on for ever
            folders.clear()
            continue
        seen.add(place)
        # In an order that is the same on every disk, as two links to one folder would give its files two names.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(root, name) for name in names if not name.startswith("."))
        recordings += [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted(recordings)


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
