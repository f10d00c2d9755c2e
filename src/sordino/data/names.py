"""What the name and the place of a file say: its speaker, the recording it was cut from, and its split."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Collection, Iterable
from functools import cache
from pathlib import Path

PIECES = (
    (r"(Freesound_validated_\d+)_\d+$", r"\1"),  # DNS Challenge: Freesound number, piece
    (r"_\d\d$", ""),
    (r"^(\d-\d+)-[A-Z](-\d+)?$", r"\1"),  # ESC-50: fold, Freesound number, take, class
    (r"^(\d+)-\d+-\d+-\d+$", r"\1"),  # UrbanSound8K: Freesound number, class, occurrence, slice
)
"""(pattern, replacement) that turn the name of a piece of noise into that of its recording; applied in order."""


def speaker_of(path: Path, root: str | Path) -> str:
    """Return the speaker of a file.

    It is ``reader_N`` if the file's name contains that (DNS Challenge); otherwise the name of the file's folder or, for
    files directly in ``root``, the part of the file's name before the first ``_``.
    """
    reader = re.search(r"reader_\d+", path.stem)
    if reader:
        return reader.group()
    return path.stem.partition("_")[0] if path.parent == Path(root) else path.parent.name


def recording_of(path: Path) -> str:
    """Return the name of the recording that a piece of noise was cut from, by the names in common corpora.

    ``kitchen_03`` is a piece of ``kitchen``, and a microphone of DEMAND (``DKITCHEN/ch01``) one of its room; ``PIECES``
    has the others.
    """
    if re.fullmatch(r"ch\d\d", path.stem):
        return path.parent.name
    name = path.stem
    for ending, whole in PIECES:
        name = re.sub(ending, whole, name)
    return name


HELD_OUT_AT_LEAST = 4
"""Fewer names than these say little of a network; of few names, a quarter is kept."""


def held_out(names: Iterable[str], modulo: int, leave: Collection[str] = ()) -> set[str]:
    """Choose the names to keep apart: those whose CRC-32 is 0 modulo ``modulo``, the same on every machine.

    If these are fewer than four, those with the next remainders are chosen too, up to a quarter of all names.

    Args:
        names: of speakers, recordings or files.
        modulo: the inverse of the share that is chosen.
        leave: names kept for something else, never chosen. If there are any, the remainder 1 is chosen, not 0.
    """
    remainders = {name: (zlib.crc32(os.fsencode(name)) - bool(leave)) % modulo for name in set(names)}
    order = sorted(set(remainders) - set(leave), key=lambda name: (remainders[name], name))
    chosen = [name for name in order if remainders[name] == 0]
    enough = max(1, min(HELD_OUT_AT_LEAST, len(remainders) // 4))
    if len(chosen) == len(order):  # all of them: one is kept apart, and the others are left to train on
        return set(order[:1])
    return set(order[: max(len(chosen), enough)])


def within(folders: Iterable[str | None]) -> Callable[[Path], bool]:
    """Return whether a file lies in one of ``folders``, such as those of a test set inside that of the training set."""
    kept = {Path(folder).resolve() for folder in folders if folder is not None}

    @cache
    def inside(folder: Path) -> bool:
        place = folder.resolve()
        return not kept.isdisjoint((place, *place.parents))

    return lambda path: bool(kept) and inside(path.parent)
