"""Resample a corpus to FLAC, in parallel; continue a stopped run; skip and report files that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sordino.audio.sound_files import info, list_audio, read, write
from sordino.data.base import Damaged
from sordino.data.tools.pool import Written, run_jobs
from sordino.errors import InputError
from sordino.files import sweep
from sordino.types import Progress


@dataclass
class Prepared(Written):
    """What ``prepare`` has done."""

    turned_down: list[tuple[str, float]] = field(default_factory=list)
    """(path, gain in dB) of files whose peaks exceeded full scale after resampling: attenuated, not clipped."""


def prepare(
    root: str | Path,
    out: str | Path,
    sample_rate: int = 16000,
    workers: int | None = None,
    damaged: Damaged = "skip",
    progress: Progress | None = None,
) -> Prepared:
    """Resample every sound file in ``root`` to 16-bit FLAC in the same subfolders of ``out``.

    Files get their name only when they are complete. So a file that is present in ``out`` is left as it is, and a
    stopped run continues where it was. The number of channels is kept.

    Args:
        root: folder of the corpus as downloaded.
        out: folder to write to, outside of ``root``.
        sample_rate: Hz.
        workers: processes; None takes one per core, 1 works in this process.
        damaged: ``skip`` and report a file that cannot be read, or ``refuse`` it with an error.
        progress: called after every file.

    Raises:
        InputError: ``root`` holds no sound files, ``out`` is inside it, two files would get the same name, ``out``
            holds files at another rate or cannot be written, or a file cannot be read and ``damaged`` is ``refuse``.
    """
    root, out = Path(root), Path(out)
    sources = list_audio(root)
    if not sources:
        raise InputError(root, "holds no sound files")
    if out.resolve().is_relative_to(root.resolve()):
        raise InputError(out, f"lies in {root}", "a folder outside the corpus")
    jobs = _jobs(root, out, sources)
    sweep(out)
    todo = [(source, target, sample_rate) for source, target in jobs if not target.exists()]
    result = Prepared(present=len(jobs) - len(todo))
    _same_rate([target for _, target in jobs if target.exists()][:1], sample_rate)
    results = run_jobs(partial(_convert, damaged=damaged), todo, workers)
    for done, (source, gain_db, reason) in enumerate(results, result.present + 1):
        if reason:
            result.failed.append((str(source), reason))
        else:
            result.written += 1
            if gain_db < 0:
                result.turned_down.append((str(source), gain_db))
        if progress:
            progress("preparing", done, len(jobs), {})
    result.failed.sort()
    result.turned_down.sort()
    return result


def _jobs(root: Path, out: Path, sources: list[Path]) -> list[tuple[Path, Path]]:
    """Return (source, target) of every file; an InputError if two sources have the same target."""
    targets: dict[Path, Path] = {}
    for source in sources:
        target = (out / source.relative_to(root)).with_suffix(".flac")
        if target in targets:
            raise InputError(source, f"would be written over {targets[target]}", hint="rename or remove one of the two")
        targets[target] = source
    return [(source, target) for target, source in targets.items()]


def _same_rate(present: list[Path], sample_rate: int) -> None:
    for path in present:
        rate = info(path).sample_rate
        if rate != sample_rate:
            raise InputError(
                path, f"is there from an earlier run, at {rate} Hz", f"{sample_rate} Hz", "choose another folder"
            )


def _convert(job: tuple[Path, Path, int], damaged: Damaged) -> tuple[Path, float, str]:
    """Resample one file; returns the source, the gain in dB that was needed to fit, and the reason if it failed."""
    source, target, sample_rate = job
    try:
        audio, _ = read(source, sample_rate)
    except InputError as error:
        if damaged == "refuse":
            raise
        return source, 0.0, str(error)
    return source, write(target, audio, sample_rate), ""
