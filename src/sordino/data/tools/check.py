"""Check: what is wrong with a corpus on disk, told before a run of days finds out.

Finds files that are unreadable, without a partner, of another length than their partner, at the wrong rate, silent,
clipped or there twice, and test speakers that are trained on. Touches no sound: a fix is a manifest without the
entries at fault.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sordino.audio.mix import SILENCE_DB
from sordino.audio.sound_files import list_audio
from sordino.data import manifest
from sordino.data.recordings import pair_key, speaker_of
from sordino.data.tools.inspection import Sound, inspect
from sordino.data.tools.layouts import Layout, Part, detect
from sordino.data.tools.published import VALENTINI_NOISY, Measure, measure_noisy
from sordino.errors import InputError
from sordino.types import Progress

KINDS = (
    "unreadable",
    "missing partner",
    "length mismatch",
    "wrong rate",
    "silence",
    "clipping",
    "duplicate",
    "leaking speaker",
)
"""What can be wrong. A fix leaves out all of it but the wrong rate, which ``prepare`` mends."""

CLIPPED_SHARE = 1e-3
"""A file is clipped when more of its samples than this stand in flat tops."""


class Problem(NamedTuple):
    """One thing that is wrong with one file."""

    kind: str
    path: str
    detail: str


@dataclass(frozen=True)
class _Entry:
    """A pair, or a recording on its own."""

    part: Part
    id: str
    noisy: Path | None
    clean: Path | None
    speaker: str

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.noisy, self.clean) if path is not None]


def check(
    root: str | Path,
    sample_rate: int = 16000,
    measure: Measure | None = None,
    count: int = 50,
    seed: int = 0,
    fix: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Look at every file of a corpus.

    Args:
        root: a folder in one of the layouts that :func:`sordino.data.tools.layouts.detect` knows.
        sample_rate: the rate in Hz that the files should have.
        measure: how to score a noisy recording against its clean partner; None measures nothing.
        count: how many pairs of the test set, drawn by ``seed``, are measured.
        seed: of that draw.
        fix: where to write a manifest of the entries that nothing is wrong with; None writes none.
        progress: called after every file, and then after every pair measured.

    Returns:
        ``root``, ``layout``, ``files``, ``seconds``, ``parts`` (split, entries and seconds of each), ``problems``
        (kind, path and detail of each), ``counts`` by kind, ``measured`` (None, or see :func:`measure_noisy`) and
        ``ok``: no problem and no figure off. Plain numbers and strings, ready for JSON.

    Raises:
        InputError: the folder holds no corpus, or an empty one, or the manifest cannot be written.
    """
    layout = detect(root)
    entries = [entry for part in layout.parts for entry in _entries(part)]
    filled = {entry.part for entry in entries}
    for part in (part for part in layout.parts if part not in filled):
        raise InputError(part.clean or part.noisy, "holds no recordings", f"those of the {part.split} set")
    sounds = _inspected(list(dict.fromkeys(path for entry in entries for path in entry.files)), progress)
    found = list(_problems(entries, sounds, sample_rate))
    faulty = {entry for entry, problem in found if problem.kind != "wrong rate"}
    sane = [entry for entry in entries if entry not in faulty]
    measured = None
    if measure is not None:
        tests = [(entry.clean, entry.noisy) for entry in sane if entry.part.split == "test" and entry.part.paired]
        drawn = np.random.default_rng(seed).permutation(len(tests))[:count]
        published = VALENTINI_NOISY if layout.kind == "valentini" else {}
        pairs = [(clean, noisy) for clean, noisy in (tests[index] for index in sorted(drawn)) if clean and noisy]
        measured = measure_noisy(pairs, measure, sample_rate, published, progress)
    if fix is not None:
        manifest.write(fix, [_line(entry, sounds) for entry in sane])
    counts = Counter(problem.kind for _, problem in found)
    return {
        "root": str(root),
        "layout": layout.kind,
        "files": len(sounds),
        "seconds": sum(sound.seconds for sound in sounds.values()),
        "parts": _parts(layout, entries, sounds),
        "problems": [problem._asdict() for _, problem in found],
        "counts": {kind: counts[kind] for kind in KINDS if counts[kind]},
        "measured": measured,
        "ok": not found and not (measured and measured["off"]),
    }


def _entries(part: Part) -> list[_Entry]:
    """The recordings of a part, each with its partner where there is one."""
    noisy, clean = _by_key(part.noisy), _by_key(part.clean)
    entries = []
    for key in sorted(noisy.keys() | clean.keys()):
        path = noisy.get(key) or clean[key]
        root = part.noisy if key in noisy else part.clean
        entries.append(_Entry(part, key, noisy.get(key), clean.get(key), speaker_of(path, root or path.parent)))
    return entries


def _by_key(root: Path | None) -> dict[str, Path]:
    """The files below a folder by what pairs them; of two that go by one name, the second keeps its suffix in it."""
    keyed: dict[str, Path] = {}
    if root is None or not root.is_dir():
        return keyed
    for path in list_audio(root):
        key = pair_key(path, root)
        keyed[path.relative_to(root).as_posix() if key in keyed else key] = path
    return keyed


def _inspected(paths: list[Path], progress: Progress | None) -> dict[Path, Sound]:
    sounds: dict[Path, Sound] = {}
    with ThreadPoolExecutor() as pool:  # decoding and hashing leave Python's lock alone
        for path, sound in zip(paths, pool.map(inspect, paths), strict=True):
            sounds[path] = sound
            if progress:
                progress("checking", len(sounds), len(paths), {})
    return sounds


def _problems(entries: list[_Entry], sounds: dict[Path, Sound], sample_rate: int) -> Iterator[tuple[_Entry, Problem]]:
    for entry in entries:
        for kind, path, detail in _own_problems(entry, sounds, sample_rate):
            yield entry, Problem(kind, str(path), detail)
    yield from _duplicates(entries, sounds)
    yield from _leaks(entries)


def _own_problems(entry: _Entry, sounds: dict[Path, Sound], sample_rate: int) -> Iterator[tuple[str, Path, str]]:
    """What is wrong with an entry without looking at others."""
    for path in entry.files:
        sound = sounds[path]
        if sound.error:
            yield "unreadable", path, sound.error.removeprefix(f"{path}: ")
            continue
        if sound.sample_rate != sample_rate:
            yield "wrong rate", path, f"{sound.sample_rate} Hz instead of {sample_rate} Hz"
        if sound.level_db < SILENCE_DB:
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
    if not (noisy.error or clean.error) and not math.isclose(noisy.seconds, clean.seconds, abs_tol=0.5 / sample_rate):
        yield "length mismatch", entry.noisy, f"{noisy.seconds:.4f} s, its clean partner {clean.seconds:.4f} s"


def _duplicates(entries: list[_Entry], sounds: dict[Path, Sound]) -> Iterator[tuple[_Entry, Problem]]:
    """Recordings that were met before; one clean utterance under several noises is no fault."""
    met: dict[str, Path] = {}
    for entry in entries:
        path = entry.files[0]
        digest = sounds[path].digest
        if not digest:
            continue
        if entry.part.paired and entry.clean not in (None, path) and sounds[entry.clean].digest == digest:
            yield entry, Problem("duplicate", str(path), f"the same sound as its clean partner {entry.clean}")
        elif digest in met:
            yield entry, Problem("duplicate", str(path), f"the same sound as {met[digest]}")
        met.setdefault(digest, path)


def _leaks(entries: list[_Entry]) -> Iterator[tuple[_Entry, Problem]]:
    """Training entries of a speaker who is tested or validated on, where names tell speakers at all."""
    training = [entry for entry in entries if entry.part.split in ("train", "speech")]
    if len({entry.speaker for entry in training}) < 2:
        return
    kept = {entry.speaker: entry.part.split for entry in entries if entry.part.split in ("valid", "test")}
    for entry in training:
        if entry.speaker in kept:
            detail = f"{entry.speaker} speaks in the {kept[entry.speaker]} set too"
            yield entry, Problem("leaking speaker", str(entry.files[0]), detail)


def _parts(layout: Layout, entries: list[_Entry], sounds: dict[Path, Sound]) -> list[dict[str, Any]]:
    parts = []
    for part in layout.parts:
        members = [entry for entry in entries if entry.part == part]
        seconds = sum(sounds[entry.files[0]].seconds for entry in members)
        parts.append({"split": part.split, "entries": len(members), "seconds": seconds})
    return parts


def _line(entry: _Entry, sounds: dict[Path, Sound]) -> manifest.Entry:
    noisy, clean = (str(path) if path else "" for path in (entry.noisy, entry.clean))
    return manifest.Entry(entry.id, noisy, clean, entry.speaker, sounds[entry.files[0]].seconds, entry.part.split)
