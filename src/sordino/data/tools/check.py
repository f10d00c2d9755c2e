"""Find faults of a corpus on disk before a long training run does.

The faults are files that are unreadable, without a partner, of another length than their partner, later or earlier than
it, of another recording, at the wrong rate, silent, clipped or duplicated, and test speakers in the training set. No
sound is changed: the fix is a manifest without the faulty entries.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sordino.audio.alignment import EXCERPT, Alignment, alignment, describe_reference
from sordino.audio.mix import SILENCE_DB
from sordino.audio.pcm import check_shape
from sordino.audio.sound_files import read_segment
from sordino.data import manifest
from sordino.data.tools.entries import Entry, entries_of
from sordino.data.tools.inspection import Sound, inspect
from sordino.data.tools.layouts import Layout, detect
from sordino.data.tools.published import VALENTINI_NOISY, Measure, measure_noisy
from sordino.errors import InputError
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


class Problem(NamedTuple):
    """One fault of one file."""

    kind: str
    path: str
    detail: str


def check(
    root: str | Path,
    sample_rate: int = 16000,
    measure: Measure | None = None,
    count: int = 50,
    seed: int = 0,
    fix: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Check every file of a corpus.

    Args:
        root: a folder in one of the layouts of :func:`sordino.data.tools.layouts.detect`.
        sample_rate: rate in Hz that the files should have.
        measure: function that scores a noisy recording against its clean partner; None measures nothing.
        count: number of pairs of the test set to measure, drawn by ``seed``.
        seed: seed of that draw.
        fix: path of a manifest to write with all entries without faults; None writes none.
        progress: called after every file, and then after every pair measured.

    Returns:
        ``root``, ``layout``, ``files``, ``seconds``, ``parts`` (split, entries and seconds of each), ``problems``
        (kind, path and detail of each), ``counts`` by kind, ``measured`` (None, or see :func:`measure_noisy`) and
        ``ok``: no fault and no deviating score. All are plain numbers and strings, ready for JSON.

    Raises:
        InputError: the folder holds no corpus, or an empty one, the manifest cannot be written, or no such rate.
    """
    check_shape("sample_rate", sample_rate, channels=1)
    layout = detect(root)
    entries: list[Entry] = []
    for part in layout.parts:
        of_part = entries_of(part)
        if not of_part:
            raise InputError(part.clean or part.noisy, "holds no recordings", f"those of the {part.split} set")
        entries += of_part
    sounds = _inspect_all(_files_of(entries), progress)
    problems = [*_problems(entries, sounds, sample_rate), *_misaligned(entries, sounds, progress)]
    faulty = {entry for entry, problem in problems if problem.kind != "wrong rate"}
    faultless = [entry for entry in entries if entry not in faulty]
    pairs = _draw_test_pairs(faultless, count, seed)
    published = VALENTINI_NOISY if layout.kind == "valentini" else {}
    measured = None
    if measure is not None:
        measured = measure_noisy(pairs, measure, sample_rate, published, progress)
    if fix is not None:
        manifest.write(fix, [_manifest_entry(entry, sounds) for entry in faultless])
    counts = Counter(problem.kind for _, problem in problems)
    return {
        "root": str(root),
        "layout": layout.kind,
        "files": len(sounds),
        "seconds": sum(sound.seconds for sound in sounds.values()),
        "parts": _parts(layout, entries, sounds),
        "problems": [problem._asdict() for _, problem in problems],
        "counts": {kind: counts[kind] for kind in KINDS if counts[kind]},
        "measured": measured,
        "ok": not problems and not (measured and measured["off"]),
    }


def _files_of(entries: list[Entry]) -> list[Path]:
    """Return the files of all entries, each once: a clean file may be the partner of several noisy ones."""
    paths: dict[Path, None] = {}
    for entry in entries:
        paths |= dict.fromkeys(entry.files)
    return list(paths)


def _draw_test_pairs(entries: list[Entry], count: int, seed: int) -> list[tuple[Path, Path]]:
    """Draw up to ``count`` (clean, noisy) pairs of the test set, in the order of the corpus."""
    if count < 0:
        raise InputError("count", f"{count} pairs to measure", "0 or more")
    tests = [entry for entry in entries if entry.part.split == "test" and entry.part.paired]
    drawn = np.random.default_rng(seed).permutation(len(tests))[:count]
    pairs = []
    for index in sorted(drawn):
        clean, noisy = tests[index].clean, tests[index].noisy
        if clean is not None and noisy is not None:
            pairs.append((clean, noisy))
    return pairs


def _inspect_all(paths: list[Path], progress: Progress | None) -> dict[Path, Sound]:
    """Inspect all files, in parallel."""
    sounds: dict[Path, Sound] = {}
    with ThreadPoolExecutor() as pool:  # threads suffice: decoding and hashing release Python's lock
        for path, sound in zip(paths, pool.map(inspect, paths), strict=True):
            sounds[path] = sound
            if progress:
                progress("checking", len(sounds), len(paths), {})
    return sounds


def _problems(entries: list[Entry], sounds: dict[Path, Sound], sample_rate: int) -> Iterator[tuple[Entry, Problem]]:
    """Yield the faults that show without comparing the two signals of a pair."""
    for entry in entries:
        for kind, path, detail in _own_problems(entry, sounds, sample_rate):
            yield entry, Problem(kind, str(path), detail)
    yield from _duplicates(entries, sounds)
    yield from _leaks(entries)


def _own_problems(entry: Entry, sounds: dict[Path, Sound], sample_rate: int) -> Iterator[tuple[str, Path, str]]:
    """Yield (kind, path, detail) of the faults of an entry that do not depend on other entries."""
    for path in entry.files:
        sound = sounds[path]
        if sound.error:
            yield "unreadable", path, sound.error.removeprefix(f"{path}: ")
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


def _misaligned(
    entries: list[Entry], sounds: dict[Path, Sound], progress: Progress | None
) -> Iterator[tuple[Entry, Problem]]:
    """Yield pairs whose clean file lies at another time than the noisy one, or is of another recording, by sound."""
    pairs = [entry for entry in entries if _is_comparable(entry, sounds)]

    def compare(entry: Entry) -> Alignment:
        noisy, clean = entry.files
        start = sounds[clean].loudest
        return alignment(read_segment(clean, start, EXCERPT), read_segment(noisy, start, EXCERPT))

    with ThreadPoolExecutor() as pool:
        for done, (entry, found) in enumerate(zip(pairs, pool.map(compare, pairs), strict=True), 1):
            if progress:
                progress("comparing pairs", done, len(pairs), {})
            if found.foreign:
                yield entry, Problem("other recording", str(entry.noisy), f"{entry.clean} is of another recording")
            elif found.lag:
                detail = f"{entry.clean} is {describe_reference(found.lag, sounds[entry.files[0]].sample_rate)} for it"
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


def _parts(layout: Layout, entries: list[Entry], sounds: dict[Path, Sound]) -> list[dict[str, Any]]:
    """Count the entries and the seconds of each part."""
    parts = []
    for part in layout.parts:
        members = [entry for entry in entries if entry.part == part]
        seconds = sum(sounds[entry.files[0]].seconds for entry in members)
        parts.append({"split": part.split, "entries": len(members), "seconds": seconds})
    return parts


def _manifest_entry(entry: Entry, sounds: dict[Path, Sound]) -> manifest.Entry:
    """Return the line of a manifest for an entry; a file that it lacks has an empty name."""
    seconds = sounds[entry.files[0]].seconds
    noisy, clean = str(entry.noisy or ""), str(entry.clean or "")
    return manifest.Entry(entry.id, noisy, clean, entry.speaker, seconds, entry.part.split)
