"""Check: what is wrong with a corpus on disk, before a run of days finds out.

Finds files that are unreadable, without a partner, of another length than their partner, at the wrong rate, silent,
clipped or there twice, and test speakers that are trained on. Touches no sound: a fix is a manifest without the
entries at fault.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sotto.audio.io import info, list_audio, read_mono, read_segment
from sotto.audio.mix import SILENCE_DB, rms_db
from sotto.data import manifest
from sotto.data.layouts import Layout, Part, detect
from sotto.data.recordings import pair_key, speaker_of
from sotto.errors import InputError

Measure = Callable[[np.ndarray, np.ndarray, int], dict[str, float]]
"""``measure(clean, noisy, sample_rate)`` -> figures by name, such as ``pesq_wb`` and ``stoi``."""

KINDS = {
    "unreadable": "cannot be read as sound",
    "missing partner": "has no partner",
    "length mismatch": "is not as long as its partner",
    "wrong rate": "is at another sample rate",
    "silence": "is silent",
    "clipping": "is clipped",
    "duplicate": "holds the same sound as another file",
    "leaking speaker": "is spoken by a test or validation speaker, and trained on",
}
"""What can be wrong. A fix leaves out all of it but the wrong rate, which ``prepare`` mends."""

CLIPPED_SHARE = 1e-3
"""A file is clipped when more of its samples than this stand in flat tops of three or more at its peak."""

VALENTINI_NOISY = {"pesq_wb": (1.97, 1.97), "stoi": (0.91, 0.93)}
"""What the 824 noisy test utterances score in the literature: lowest and highest mean."""


class Problem(NamedTuple):
    """One thing that is wrong with one file."""

    kind: str
    path: str
    detail: str


@dataclass(frozen=True)
class _Sound:
    """What the inspection of a file leaves behind."""

    error: str = ""
    sample_rate: int = 0
    length: int = 0
    level_db: float = -math.inf
    clipped: float = 0.0
    digest: str = ""


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
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Look at every file of a corpus.

    Args:
        root: a folder in one of the layouts that :func:`sotto.data.layouts.detect` knows.
        sample_rate: the rate in Hz that the files should have.
        measure: how to score a noisy recording against its clean partner; None measures nothing.
        count: how many pairs of the test set, drawn by ``seed``, are measured.
        seed: of that draw.
        fix: where to write a manifest of the entries that nothing is wrong with; None writes none.
        progress: called as ``progress(done, total)`` after every file and every pair measured.

    Returns:
        ``root``, ``layout``, ``files``, ``seconds``, ``parts`` (split, entries, seconds of each), ``problems``
        (kind, path, detail), ``counts`` by kind, ``measured`` (None, or count, means, published, off) and ``ok``.
        Plain numbers and strings, ready for JSON.

    Raises:
        InputError: the folder holds no corpus, or the manifest cannot be written.
    """
    layout = detect(root)
    entries = [entry for part in layout.parts for entry in _entries(part)]
    paths = list(dict.fromkeys(path for entry in entries for path in entry.files))
    todo = len(paths) + (min(count, len(_to_measure(entries))) if measure else 0)
    report_done = progress or (lambda done, total: None)
    sounds: dict[Path, _Sound] = {}
    with ThreadPoolExecutor() as pool:
        for path, sound in zip(paths, pool.map(_inspect, paths), strict=True):
            sounds[path] = sound
            report_done(len(sounds), todo)
    found = list(_problems(entries, sounds, sample_rate))
    at_fault = {path for _, problem in found if problem.kind != "wrong rate" for path in [problem.path]}
    sane = [entry for entry in entries if not at_fault & {str(path) for path in entry.files}]
    measured = None
    if measure:
        measured = _measured(layout, sane, sounds, measure, sample_rate, count, seed, lambda n: report_done(len(paths) + n, todo))
    if fix is not None:
        manifest.write(fix, [_line(entry, sounds) for entry in sane])
    raise NotImplementedError
