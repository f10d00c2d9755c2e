"""Find faults of a corpus on disk before a long training run does.

The faults are files that are unreadable, without a partner, of another length than their partner, later or earlier than
it, of another recording, at the wrong rate, silent, clipped or duplicated, and test speakers in the training set. What
the record of a rendering says was intended is no fault. No sound is changed: the fix is a manifest without the faulty
entries.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sordino.audio.pcm import check_shape
from sordino.data import manifest
from sordino.data.tools.entries import Entry, entries_of
from sordino.data.tools.faults import KINDS, misaligned, problems
from sordino.data.tools.inspection import Sound, inspect
from sordino.data.tools.layouts import Layout, detect
from sordino.data.tools.published import VALENTINI_NOISY, Measure, measure_noisy
from sordino.data.tools.rendered import Intended, intended
from sordino.distributed import usable_cores
from sordino.errors import InputError
from sordino.files import demand_own
from sordino.types import Progress


def check(
    root: str | Path,
    sample_rate: int = 16000,
    measure: Measure | None = None,
    count: int = 50,
    fix: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Check every file of a corpus.

    Args:
        root: a folder in one of the layouts of :func:`sordino.data.tools.layouts.detect`.
        sample_rate: rate in Hz that the files should have.
        measure: function that scores a noisy recording against its clean partner; None measures nothing.
        count: number of pairs of the test set to measure, drawn at random, and the same ones each time.
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
    if count < 0:
        raise InputError("count", f"{count} pairs to measure", "0 or more")
    if fix is not None:
        demand_own(fix, ",".join(manifest.HEADER).encode(), "manifest")
    meant = intended(root)
    layout = _as_meant(detect(root), meant)
    entries = _entries(layout)
    sounds = _inspect_all(_files_of(entries), progress)
    found = [*problems(entries, sounds, sample_rate, meant.clipping), *misaligned(entries, sounds, progress)]
    faulty = {entry for entry, problem in found if problem.kind != "wrong rate"}
    faultless = [entry for entry in entries if entry not in faulty]
    pairs = _draw_test_pairs(faultless, count)
    published = VALENTINI_NOISY if layout.kind == "valentini" else {}
    measured = None
    if measure is not None:
        measured = measure_noisy(pairs, measure, sample_rate, published, progress)
    if fix is not None:
        manifest.write(fix, [_manifest_entry(entry, sounds) for entry in faultless])
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


def _as_meant(layout: Layout, meant: Intended) -> Layout:
    """Return a layout whose training parts lack a folder of clean files, if none was to be written."""
    if not meant.noisy_only:
        return layout
    parts = [replace(part, clean=None) if part.split == "train" else part for part in layout.parts]
    return replace(layout, parts=tuple(parts))


def _entries(layout: Layout) -> list[Entry]:
    """Return the recordings of all parts, none of which may be empty."""
    entries: list[Entry] = []
    for part in layout.parts:
        of_part = entries_of(part)
        if not of_part:
            raise InputError(part.clean or part.noisy, "holds no recordings", f"those of the {part.split} set")
        entries += of_part
    return entries


def _files_of(entries: list[Entry]) -> list[Path]:
    """Return the files of all entries, each once: a clean file may be the partner of several noisy ones."""
    paths: dict[Path, None] = {}
    for entry in entries:
        paths |= dict.fromkeys(entry.files)
    return list(paths)


def _draw_test_pairs(entries: list[Entry], count: int) -> list[tuple[Path, Path]]:
    """Draw up to ``count`` (clean, noisy) pairs of the test set, in the order of the corpus."""
    tests = [entry for entry in entries if entry.part.split == "test" and entry.part.paired]
    drawn = np.random.default_rng(0).permutation(len(tests))[:count]
    pairs = []
    for index in sorted(drawn):
        clean, noisy = tests[index].clean, tests[index].noisy
        if clean is not None and noisy is not None:
            pairs.append((clean, noisy))
    return pairs


def _inspect_all(paths: list[Path], progress: Progress | None) -> dict[Path, Sound]:
    """Inspect all files, in parallel."""
    sounds: dict[Path, Sound] = {}
    # Threads suffice: decoding and hashing release Python's lock. Each holds a whole recording, so they are few.
    with ThreadPoolExecutor(usable_cores()) as pool:
        for path, sound in zip(paths, pool.map(inspect, paths), strict=True):
            sounds[path] = sound
            if progress:
                progress("checking", len(sounds), len(paths), {})
    return sounds


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
