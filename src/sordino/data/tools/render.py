"""Write N hours of the mixtures of a source as files, as the DNS Challenge does.

``OUT/noisy`` and ``OUT/clean`` hold the training items and ``OUT/valid`` the validation items, with a folder for each
speaker. The files have the names of the challenge's own synthesiser: ``SPEECH_NOISE_snr12_tl-25_fileid_7.flac`` and
``clean_fileid_7.flac``, where snr and tl are the ratio and the level of the mixture in whole decibels. The items are
the first ones that a training run with this seed would get, so more hours only add files. The source ``pairs`` reads
the folders.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sordino.audio.folders import list_audio
from sordino.audio.mix import QUIET_DB, rms_db, within_scale
from sordino.audio.sound_files import write
from sordino.data.base import Damaged, Segments, Source, epoch_order
from sordino.data.recordings import SYNTHETIC_MARK
from sordino.data.sources.synthetic import NOTE
from sordino.data.tools.pool import Written, run_jobs
from sordino.data.tools.rendered import RECORD, read_record
from sordino.errors import InputError
from sordino.files import sweep, visible, write_text
from sordino.json_files import write_json
from sordino.types import Item, Progress

NAME_MAX = 100
"""Largest number of bytes for speech and noise in a file's name: file systems take 255, and letters have up to four."""


def render(
    source: Source,
    out: str | Path,
    hours: float,
    seed: int = 0,
    noisy_only: bool = False,
    workers: int | None = None,
    damaged: Damaged = "refuse",
    about: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write ``hours`` of a source's training items, and its validation items, as FLAC: 16 bits, 24 for quiet ones.

    A mixture that is present is complete and is left as it is, so a stopped run continues where it was.

    Args:
        source: source of the mixtures.
        out: folder to write to: a new one, or one of an earlier run with the same arguments.
        hours: hours of training items; rounded to whole items.
        seed: seed of the mixtures.
        noisy_only: write no clean training files, for label-free distillation.
        workers: processes; None takes one per core, 1 works in this process.
        damaged: ``refuse`` a recording that cannot be read, or ``skip`` and report the mixtures that need it.
        about: plain values that identify the source; stored with the files.
        progress: called after every mixture.

    Raises:
        InputError: ``hours`` is out of range, ``out`` holds something else or cannot be written, references are
            missing, or a recording cannot be used.
    """
    if not (math.isfinite(hours) and hours > 0):
        raise InputError("hours", f"{hours}", "a number above 0")
    if source.labels != "all" and not noisy_only:
        raise InputError("data", "not every recording has a clean reference", hint="render it with --noisy-only")
    out, segments, valid = Path(out), source.train(seed), source.valid()
    record = _record_of(source, seed, noisy_only, about or {})
    _open(out, record)
    count = max(1, round(hours * 3600 / source.segment_s))
    jobs = [_Job(out, False, index, not noisy_only) for index in range(count)]
    jobs += [_Job(out / "valid", True, index, source.labels != "none") for index in range(len(valid))]
    todo = _remaining(jobs)
    write_json(out / RECORD, record | {"hours": hours})
    if source.synthetic:
        write_text(out / SYNTHETIC_MARK, NOTE)
    result = Written(present=len(jobs) - len(todo))
    work = _Renderer(segments, valid, source.sample_rate, damaged)
    for done, (name, reason) in enumerate(run_jobs(work, todo, workers), result.present + 1):
        if reason:
            result.failed.append((name, reason))
        else:
            result.written += 1
        if progress:
            progress("rendering", done, len(jobs), {})
    result.failed.sort()
    return result


@dataclass(frozen=True)
class _Job:
    """One mixture to render."""

    home: Path
    """Folder that holds ``noisy`` and ``clean``."""
    held_out: bool
    """Whether it is a validation item."""
    index: int
    """Number in the names of its files; for a training item, its position in the order of training."""
    paired: bool
    """Whether its clean file is written."""


class _Renderer:
    """Makes a mixture and writes it: the clean file first, so that the noisy file proves that both are complete.

    Args:
        segments: training items.
        valid: validation items.
        sample_rate: Hz.
        damaged: as in :func:`render`.
    """

    def __init__(self, segments: Segments, valid: Sequence[Item], sample_rate: int, damaged: Damaged) -> None:
        self.segments, self.valid, self.sample_rate, self.damaged = segments, valid, sample_rate, damaged
        self._orders: dict[int, list[int]] = {}

    def __call__(self, job: _Job) -> tuple[str, str]:
        """Write the mixture of ``job``; returns its name and, if it failed, the reason."""
        try:
            item = self._item(job)
        except InputError as error:
            if self.damaged == "refuse":
                raise
            return f"{job.home}: fileid_{job.index}", str(error)
        noisy, clean = item.noisy[: item.length], item.clean
        subtype = "PCM_24" if rms_db(noisy) < QUIET_DB else "PCM_16"
        if job.paired:
            assert clean is not None
            noisy, clean = within_scale(noisy, clean[: item.length])
            write(self._path(job, "clean", item, f"clean_fileid_{job.index}"), clean, self.sample_rate, subtype)
        write(self._path(job, "noisy", item, _name(item, job.index)), noisy, self.sample_rate, subtype)
        return item.id, ""

    def _item(self, job: _Job) -> Item:
        return self.valid[job.index] if job.held_out else self._drawn(job.index)

    def _drawn(self, index: int) -> Item:
        """Return the training item that a run would get after ``index`` others."""
        epoch, place = divmod(index, len(self.segments))
        # Only the last epoch's order is kept: jobs come in order.
        if epoch not in self._orders:
            self._orders = {epoch: epoch_order(len(self.segments), self.segments.seed, epoch)}
        return self.segments[epoch, self._orders[epoch][place]]

    def _path(self, job: _Job, side: str, item: Item, name: str) -> Path:
        return job.home / side / _plain(item.speaker) / f"{name}.flac"


def _name(item: Item, index: int) -> str:
    """Return the name of a noisy file in the style of the challenge."""
    name = _plain(item.id.partition("@")[0]).encode()[:NAME_MAX].decode(errors="ignore")
    noisy = item.noisy[: item.length]
    if item.clean is not None:
        clean = item.clean[: item.length]
        name += f"_snr{_whole(rms_db(clean) - rms_db(noisy - clean))}"
    return f"{name}_tl{_whole(rms_db(noisy))}_fileid_{index}"


def _whole(decibels: float) -> str:
    return str(round(decibels)) if math.isfinite(decibels) else "none"


def _plain(text: str) -> str:
    """Replace the characters of ``text`` that should not be in a file's name."""
    return re.sub(r"[^\w.-]+", "_", text)


def _record_of(source: Source, seed: int, noisy_only: bool, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the mixtures depend on; see ``RECORD``."""
    return {
        "seed": seed,
        "segment_s": source.segment_s,
        "sample_rate": source.sample_rate,
        "noisy_only": noisy_only,
        "source": source.name,
        "about": dict(about),
    }


def _open(out: Path, record: dict[str, Any]) -> None:
    """Check that the folder is empty, or has the same record, and clear away what was written in part."""
    sweep(out)
    if (out / RECORD).is_file():
        before = read_record(out)
        now = json.loads(json.dumps(record))  # as it would be read: tuples become lists
        for key, value in now.items():
            if before.get(key) != value:
                found = f"was rendered with {key} {before.get(key)!r}, not {value!r}"
                raise InputError(out, found, hint="set it back, or choose another folder")
    elif out.is_dir() and visible(out):
        raise InputError(out, "holds files, but no rendering", "a new folder")


def _remaining(jobs: Sequence[_Job]) -> list[_Job]:
    """Return the jobs that are not done yet; an InputError if a folder holds further mixtures."""
    asked: dict[Path, set[int]] = {}
    for job in jobs:
        asked.setdefault(job.home, set()).add(job.index)
    present = {home: _present(home) for home in asked}
    for home, indices in asked.items():
        further = present[home] - indices
        if further:
            found = f"holds {len(further)} mixtures more than were asked for"
            raise InputError(home, found, hint="ask for as many hours as before, or choose another folder")
    return [job for job in jobs if job.index not in present[job.home]]


def _present(home: Path) -> set[int]:
    """Return the numbers of the mixtures in ``home``."""
    folder = home / "noisy"
    if not folder.is_dir():
        return set()
    numbers = set()
    for path in list_audio(folder):
        match = re.search(r"fileid_(\d+)$", path.stem)
        if match:
            numbers.add(int(match.group(1)))
    return numbers
