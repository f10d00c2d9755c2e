"""Prepare: resample a corpus once, to FLAC, in parallel; go on where it stopped; report bad files and pass them by."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sordino.audio.sound_files import info, list_audio, read, write
from sordino.data.base import Damaged
from sordino.data.tools.pool import each
from sordino.errors import InputError
from sordino.files import sweep
from sordino.types import Progress


@dataclass
class Prepared:
    """What became of the files of a corpus."""

    written: int = 0
    present: int = 0
    """Already there from an earlier run."""
    turned_down: list[tuple[str, float]] = field(default_factory=list)
    """(path, gain in dB) of those written whose peaks passed full scale after resampling: scaled, not clipped."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason) of files that could not be used."""


def prepare(
    root: str | Path,
    out: str | Path,
    sample_rate: int = 16000,
    workers: int | None = None,
    damaged: Damaged = "skip",
    progress: Progress | None = None,
) -> Prepared:
    """Resample every sound file below ``root`` into the same folders below ``out``, as 16-bit FLAC.

    A file that is present in ``out`` is a whole file, as files are renamed into place when complete; it is left as
    it is, so a stopped run goes on where it was. Channels are kept.

    Args:
        root: folder of the corpus as downloaded.
        out: folder to write to, another one than ``root``.
        sample_rate: Hz.
        workers: processes; None takes one per core, 1 works in this process.
        damaged: pass a file by that cannot be read, and report it; or refuse it.
        progress: called after every file.

    Returns:
        How many files were written, were there before, or failed, and why.

    Raises:
        InputError: ``root`` holds no sound, ``out`` is inside it, two files would become one, ``out`` holds files
            at another rate, ``out`` cannot be written, or a file cannot be read where that is refused.
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
    answers = each(partial(_convert, damaged=damaged), todo, workers)
    for done, (source, gain_db, reason) in enumerate(answers, result.present + 1):
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
    """Resample one file; returns it, the gain in dB that it took to fit, and why it failed."""
    source, target, sample_rate = job
    try:
        audio, _ = read(source, sample_rate)
    except InputError as error:
        if damaged == "refuse":
            raise
        return source, 0.0, str(error)
    return source, write(target, audio, sample_rate), ""
