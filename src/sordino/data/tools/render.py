"""Render: N hours of what a source would mix on the fly, written once as files, as the DNS Challenge does it.

``OUT/noisy`` and ``OUT/clean`` hold the training items and ``OUT/valid`` the validation items, a folder for each
speaker, named as the challenge's own synthesiser names them: ``SPEECH_NOISE_snr12_tl-25_fileid_7.flac`` beside
``clean_fileid_7.flac``, where snr and tl are the ratio and the level that the mixture has, in whole decibels. The items
are the first that a training run with this seed would be given, so more hours only add to what is there. The source
``pairs`` reads the folders.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sordino.audio.mix import QUIET_DB, rms_db, within_scale
from sordino.audio.sound_files import list_audio, write
from sordino.data.base import Damaged, Segments, Source, order
from sordino.data.recordings import SYNTHETIC_MARK
from sordino.data.sources.synthetic import NOTE
from sordino.data.tools.pool import each
from sordino.errors import InputError
from sordino.files import sweep, write_json, write_text
from sordino.types import Item, Progress

RECORD = "render.json"
"""A file of this name in the folder says what was rendered there."""

NAME_MAX = 100
"""Characters of a file's name that tell speech and noise; as long as the challenge's own."""


@dataclass
class Rendered:
    """What became of the mixtures."""

    written: int = 0
    present: int = 0
    """Already there from an earlier run."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(mixture, reason) of those that a damaged recording has cost."""


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
) -> Rendered:
    """Write ``hours`` of a source's training items, and its validation items, as FLAC: 16 bits, quiet ones 24.

    A mixture that is present is whole and is left as it is, so a stopped run goes on where it was.

    Args:
        source: what to render.
        out: folder to write to: a new one, or one that holds a rendering of the same.
        hours: of training items; rounded to whole items.
        seed: of the draws.
        noisy_only: write no clean training files, for label-free distillation.
        workers: processes; None takes one per core, 1 works in this process.
        damaged: refuse a recording that cannot be read, or skip the mixtures that need it and report them.
        about: plain values that tell the source from others; kept beside the files.
        progress: called after every mixture.

    Returns:
        How many mixtures were written, were there before, or failed, and why.

    Raises:
        InputError: ``hours`` out of range, ``out`` holds something else, references are missing, a recording is unfit,
            or ``out`` cannot be written.
    """
    if not (math.isfinite(hours) and hours > 0):
        raise InputError("hours", f"{hours}", "a number above 0")
    if source.labels != "all" and not noisy_only:
        raise InputError("data", "not every recording has a clean reference", hint="render it with --noisy-only")
    out, segments, valid = Path(out), source.train(seed), source.valid()
    record = {"seed": seed, "segment_s": source.segment_s, "sample_rate": source.sample_rate, "noisy_only": noisy_only}
    _open(out, record | {"source": source.name, "about": dict(about or {})}, hours)
    if source.synthetic:
        write_text(out / SYNTHETIC_MARK, NOTE)
    count = max(1, round(hours * 3600 / source.segment_s))
    jobs = [_Job(out, False, index, not noisy_only) for index in range(count)]
    jobs += [_Job(out / "valid", True, index, source.labels != "none") for index in range(len(valid))]
    todo = _left(jobs)
    result = Rendered(present=len(jobs) - len(todo))
    work = _Renderer(segments, valid, source.sample_rate, damaged)
    for done, (name, reason) in enumerate(each(work, todo, workers), result.present + 1):
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
    """Holds ``noisy`` and ``clean``."""
    held_out: bool
    """Whether it is a validation item."""
    index: int
    """The number in its files' names; of a training item, its place in the order of training."""
    paired: bool
    """Whether its clean file is written."""


class _Renderer:
    """Makes a mixture and writes it: the clean file first, so that the noisy one's presence says that both are there.

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
        """Render ``job``; returns what it is called and, where it failed, why."""
        try:
            item = self.valid[job.index] if job.held_out else self._drawn(job.index)
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

    def _drawn(self, index: int) -> Item:
        """The training item that a run is given after ``index`` others."""
        epoch, place = divmod(index, len(self.segments))
        if epoch not in self._orders:
            self._orders = {epoch: order(len(self.segments), self.segments.seed, epoch)}
        return self.segments[epoch, self._orders[epoch][place]]

    def _path(self, job: _Job, side: str, item: Item, name: str) -> Path:
        return job.home / side / _plain(item.speaker) / f"{name}.flac"


def _name(item: Item, index: int) -> str:
    """A noisy file's name in the challenge's manner."""
    told = _plain(item.id.partition("@")[0])[:NAME_MAX]
    noisy = item.noisy[: item.length]
    if item.clean is not None:
        clean = item.clean[: item.length]
        told += f"_snr{_whole(rms_db(clean) - rms_db(noisy - clean))}"
    return f"{told}_tl{_whole(rms_db(noisy))}_fileid_{index}"


def _whole(decibels: float) -> str:
    return str(round(decibels)) if math.isfinite(decibels) else "none"


def _plain(text: str) -> str:
    """``text`` as part of a file's name."""
    return re.sub(r"[^\w.-]+", "_", text)


def _open(out: Path, record: dict[str, Any], hours: float) -> None:
    """Begin in an empty folder, or go on in one whose record is the same, whatever its hours."""
    sweep(out)
    path = out / RECORD
    if path.is_file():
        try:
            before = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise InputError(path, "is damaged", hint="remove it with its folder, and render again") from error
        now = json.loads(json.dumps(record))
        if changed := [key for key in now if before.get(key) != now[key]]:
            key = changed[0]
            found = f"was rendered with {key} {before.get(key)!r}, not {now[key]!r}"
            raise InputError(out, found, hint="set it back, or choose another folder")
    elif out.is_dir() and any(out.iterdir()):
        raise InputError(out, "holds files, but no rendering", "a new folder")
    write_json(path, record | {"hours": hours})


def _left(jobs: Sequence[_Job]) -> list[_Job]:
    """The jobs that are not done yet; InputError where a folder holds more than all of them."""
    present = {home: _present(home) for home in {job.home for job in jobs}}
    wanted = {(job.home, job.index) for job in jobs}
    for home, indices in present.items():
        if more := sum((home, index) not in wanted for index in indices):
            found = f"holds {more} mixtures more than were asked for"
            raise InputError(home, found, hint="ask for as many hours as before, or choose another folder")
    return [job for job in jobs if job.index not in present[job.home]]


def _present(home: Path) -> set[int]:
    """The numbers of the mixtures in ``home``."""
    folder = home / "noisy"
    paths = list_audio(folder) if folder.is_dir() else []
    found = (re.search(r"fileid_(\d+)$", path.stem) for path in paths)
    return {int(match.group(1)) for match in found if match}
