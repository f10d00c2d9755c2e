"""Faults of a corpus: of single files, of pairs, and of files that are in it twice or in two sets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from sordino.audio.alignment import EXCERPT, Alignment, alignment, describe_reference
from sordino.audio.mix import SILENCE_DB
from sordino.audio.sound_files import read_segment
from sordino.data.tools.entries import Entry
from sordino.data.tools.inspection import Sound
from sordino.types import Progress

KINDS = (
    "unreadable",
    "missing partner",
    "length mismatch",
    "late reference",
    "other recording",
    "wrong rate",
    "silence",
    "clipping",
    "duplicate",
    "leaking speaker",
)
"""Kinds of faults. A manifest leaves out entries with any of them but a wrong rate, which ``prepare`` corrects."""

CLIPPED_SHARE = 1e-3
"""A file counts as clipped if a larger share of its samples is in flat tops."""

TOLERATED_LAG_S = 2 / 16000
"""A longer lag of a reference is a fault. Filters, such as those of the augmentation, shift what they let pass by up to
this."""


class Problem(NamedTuple):
    """One fault of one file."""

    kind: str
    path: str
    detail: str


def problems(
    entries: list[Entry], sounds: dict[Path, Sound], sample_rate: int, clipped: bool = False
) -> Iterator[tuple[Entry, Problem]]:
    """Yield the faults that show without comparing the signals of a pair; noisy files may be ``clipped`` on purpose."""
    for entry in entries:
        for kind, path, detail in _own_problems(entry, sounds, sample_rate):
            if not (clipped and kind == "clipping" and path == entry.noisy):
                yield entry, Problem(kind, str(path), detail)
    yield from _duplicates(entries, sounds)
    yield from _leaks(entries)


def _own_problems(entry: Entry, sounds: dict[Path, Sound], sample_rate: int) -> Iterator[tuple[str, Path, str]]:
    """Yield (kind, path, detail) of the faults of an entry that do not depend on other entries."""
    for path in entry.files:
        sound = sounds[path]
        if sound.error:
            yield "unreadable", path, sound.error
            continue
        if sound.sample_rate != sample_rate:
            yield "wrong rate", path, f"{sound.sample_rate} Hz instead of {sample_rate} Hz"
        if sound.level_db < SILENCE_DB and not (path == entry.clean and entry.has_no_ratio):
            yield "silence", path, f"{sound.level_db:.0f} dBFS"
        if sound.clipped > CLIPPED_SHARE:
            yield "clipping", path, f"{100 * sound.clipped:.2g} % of the samples stand in flat tops"
    if not entry.part.paired:
        return
    if entry.noisy is None or entry.clean is None:
        folder = entry.part.noisy if entry.noisy is None else entry.part.clean
        yield "missing partner", entry.files[0], f"none of that name in {folder}"
        return
    noisy, clean = sounds[entry.noisy], sounds[entry.clean]
    if noisy.error or clean.error:
        return
    if not math.isclose(noisy.seconds, clean.seconds, abs_tol=0.5 / sample_rate):
        yield "length mismatch", entry.noisy, f"{noisy.seconds:.4f} s, its clean partner {clean.seconds:.4f} s"


def misaligned(
    entries: list[Entry], sounds: dict[Path, Sound], progress: Progress | None
) -> Iterator[tuple[Entry, Problem]]:
    """Yield pairs whose clean file is late or early, or of another recording, by comparing their samples."""
    pairs = [entry for entry in entries if _is_comparable(entry, sounds)]

    def compare(entry: Entry) -> Alignment:
        noisy, clean = entry.files
        start = sounds[clean].loudest
        return alignment(read_segment(clean, start, EXCERPT), read_segment(noisy, start, EXCERPT))

    with ThreadPoolExecutor() as pool:
        for done, (entry, found) in enumerate(zip(pairs, pool.map(compare, pairs), strict=True), 1):
            if progress:
                progress("comparing pairs", done, len(pairs), {})
            rate = sounds[entry.files[0]].sample_rate
            if found.foreign:
                yield entry, Problem("other recording", str(entry.noisy), f"{entry.clean} is of another recording")
            elif found.lag and abs(found.lag) > TOLERATED_LAG_S * rate:
                detail = f"{entry.clean} is {describe_reference(found.lag, rate)} for it"
                yield entry, Problem("late reference", str(entry.noisy), detail)


def _is_comparable(entry: Entry, sounds: dict[Path, Sound]) -> bool:
    """Whether both recordings of a pair can be read, at one rate, and hold speech."""
    if not entry.part.paired or entry.has_no_ratio or len(entry.files) < 2:
        return False
    for path in entry.files:
        sound = sounds[path]
        if not sound.digest or sound.level_db < SILENCE_DB:
            return False
    rates = {sounds[path].sample_rate for path in entry.files}
    return len(rates) == 1


def _duplicates(entries: list[Entry], sounds: dict[Path, Sound]) -> Iterator[tuple[Entry, Problem]]:
    """Yield recordings that equal another one; the same clean utterance with different noises is no fault.

    Of a recording that is in the training set and in another one, the copy in the training set is the fault.
    """
    first: dict[str, Path] = {}
    kept_apart_first = sorted(entries, key=lambda entry: entry.part.split not in ("valid", "test"))
    for entry in kept_apart_first:
        path = entry.files[0]
        digest = sounds[path].digest
        if not digest:
            continue
        if entry.part.paired and entry.clean not in (None, path) and sounds[entry.clean].digest == digest:
            if entry.has_no_ratio:
                continue
            yield entry, Problem("duplicate", str(path), f"the same sound as its clean partner {entry.clean}")
        elif digest in first:
            yield entry, Problem("duplicate", str(path), f"the same sound as {first[digest]}")
        first.setdefault(digest, path)


def _leaks(entries: list[Entry]) -> Iterator[tuple[Entry, Problem]]:
    """Yield training entries of speakers that are in the validation or test set.

    If all training files seem to have one speaker, their names do not identify speakers: nothing is reported.
    """
    training = [entry for entry in entries if entry.part.split in ("train", "speech")]
    if len({entry.speaker for entry in training}) < 2:
        return
    split_of_speaker: dict[str, str] = {}
    for entry in entries:
        if entry.part.split in ("valid", "test"):
            split_of_speaker[entry.speaker] = entry.part.split
    for entry in training:
        if entry.speaker in split_of_speaker:
            detail = f"{entry.speaker} speaks in the {split_of_speaker[entry.speaker]} set too"
            yield entry, Problem("leaking speaker", str(entry.files[0]), detail)
