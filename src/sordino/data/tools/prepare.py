"""Resample a corpus to FLAC, in parallel; continue a stopped run; skip and report files that cannot be read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sordino.audio.folders import list_audio
from sordino.audio.mix import fitting_gain, within_scale
from sordino.audio.pcm import check_shape
from sordino.audio.sound_files import info, read, write
from sordino.data.base import Damaged
from sordino.data.tools.entries import entries_of
from sordino.data.tools.layouts import detect
from sordino.data.tools.pool import Written, run_jobs
from sordino.errors import InputError
from sordino.files import sweep
from sordino.types import Progress

FLAC_CHANNELS = 8

Group = list[tuple[Path, Path]]
"""Source and target of each file of a group."""


@dataclass
class Prepared(Written):
    """What ``prepare`` has done."""

    turned_down: list[tuple[str, float]] = field(default_factory=list)
    """(path, gain in dB) of files whose peaks exceeded full scale after resampling: attenuated, not clipped, and their
    partners, which are attenuated as much."""


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
            holds files at another rate or under earlier names, or cannot be written, or a file cannot be read and
            ``damaged`` is ``refuse``.
    """
    check_shape("sample_rate", sample_rate, channels=1)
    root, out = Path(root), Path(out)
    found = list_audio(root)
    if not found:
        raise InputError(root, "holds no sound files")
    if out.resolve().is_relative_to(root.resolve()):
        raise InputError(out, f"lies in {root}", "a folder outside the corpus")
    groups = _together(root, found)
    sources = sorted({path for files in groups for path in files})
    targets = _targets(root, out, sources)
    _check_earlier_names(targets)
    sweep(out)
    _check_earlier_rate(targets.values(), sample_rate)
    jobs = _jobs(groups, targets)
    result = Prepared(present=len(targets) - sum(map(len, jobs)))
    done = result.present
    convert = partial(_convert, sample_rate=sample_rate, damaged=damaged)
    for converted in run_jobs(convert, jobs, workers):
        for source, gain_db, reason in converted:
            done += 1
            if reason:
                result.failed.append((str(source), reason))
            else:
                result.written += 1
                if gain_db < 0:
                    result.turned_down.append((str(source), gain_db))
            if progress:
                progress("preparing", done, len(targets), {})
    result.failed.sort()
    result.turned_down.sort()
    return result


def _targets(root: Path, out: Path, sources: list[Path]) -> dict[Path, Path]:
    """Return the target of every source; those that differ in their format alone keep its name in theirs.

    Raises:
        InputError: two have the same target all the same.
    """
    shared = Counter(source.with_suffix("") for source in sources)
    origins: dict[Path, Path] = {}
    for source in sources:
        target = out / source.relative_to(root)
        alone = shared[source.with_suffix("")] == 1 or source.suffix.lower() == ".flac"
        target = target.with_suffix(".flac") if alone else target.with_name(f"{target.name}.flac")
        if target in origins:
            found = f"would be written to {target}, as {origins[target]} is"
            raise InputError(source, found, hint="rename or remove one of the two")
        origins[target] = source
    return {source: target for target, source in origins.items()}


def _check_earlier_names(targets: Mapping[Path, Path]) -> None:
    """Refuse a copy from when its recording had no namesake in another format: it would be there under two names."""
    written = set(targets.values())
    for source, target in targets.items():
        earlier = target.with_name(f"{source.stem}.flac")
        if earlier not in written and earlier.is_file():
            found = f"was made when {source.stem} was there in one format alone"
            raise InputError(earlier, found, hint="remove it and run again")


def _together(root: Path, sources: list[Path]) -> list[list[Path]]:
    """Group the files: the two of a pair, which must keep their ratio, together; all others alone.

    A folder that is linked into another part belongs to the pairs of both.
    """
    groups: list[list[Path]] = []
    paired: set[Path] = set()
    for part in detect(root).parts:
        if not part.paired:
            continue
        for entry in entries_of(part):
            groups.append(entry.files)
            paired.update(entry.files)
    return groups + [[path] for path in sources if path not in paired]


def _jobs(groups: list[list[Path]], targets: dict[Path, Path]) -> list[Group]:
    """Return the groups that are to be written, each file with its target.

    A pair of which one is missing is written again as a whole, as the two share a gain.
    """
    jobs = []
    for files in groups:
        if not all(targets[path].exists() for path in files):
            jobs.append([(path, targets[path]) for path in files])
    return jobs


def _check_earlier_rate(targets: Iterable[Path], sample_rate: int) -> None:
    """Refuse a folder in which an earlier run wrote at another rate; the first file that is there shows it."""
    for path in targets:
        if path.exists():
            rate = info(path).sample_rate
            if rate != sample_rate:
                found = f"is there from an earlier run, at {rate} Hz"
                raise InputError(path, found, f"{sample_rate} Hz", "choose another folder")
            return


def _convert(files: Group, sample_rate: int, damaged: Damaged) -> list[tuple[Path, float, str]]:
    """Resample the files of a group, all by one gain.

    Returns:
        For each the source, the gain in dB that was needed for all to fit, and the reason if it failed.
    """
    results, readable, audios = [], [], []
    for source, target in files:
        try:
            audio, _ = read(source, sample_rate)
            if len(audio) > FLAC_CHANNELS:
                raise InputError(source, f"has {len(audio)} channels", f"up to {FLAC_CHANNELS}, which FLAC holds")
            if audio.shape[1] == 0:
                raise InputError(source, f"is too short for a sample at {sample_rate} Hz")
            audios.append(audio)
            readable.append((source, target))
        except InputError as error:
            if damaged == "refuse":
                raise
            results.append((source, 0.0, error.reason))
    gain_db = 20 * math.log10(fitting_gain(*audios))
    for (source, target), audio in zip(readable, within_scale(*audios), strict=True):
        write(target, audio, sample_rate)
        results.append((source, gain_db, ""))
    return results
