"""Write the recordings of a source into a few large tar files, in parallel; the source ``Shards`` reads them.

Millions of small files are slow to list, to copy and to read over a network; files of a thousand recordings are not.
Files such as ``OUT/train-00000-of-00012.tar`` hold the recordings of each split in the source's order, as 16-bit FLAC,
so that the division into splits is fixed and a run on shards gets the same items as a run on the original files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sordino.audio.mix import within_scale
from sordino.data.archive import index_path, open_archive, write_archive
from sordino.data.base import Damaged, Source
from sordino.data.pairs import Pair, Paired, PairSet, Split
from sordino.data.recordings import SYNTHETIC_MARK
from sordino.data.sources.synthetic import NOTE
from sordino.data.tools.pool import Written, run_jobs
from sordino.errors import InputError
from sordino.files import sweep, visible, write_text
from sordino.types import Item, Progress


def shard(
    source: Source,
    out: str | Path,
    per_shard: int = 1000,
    workers: int | None = None,
    damaged: Damaged = "refuse",
    progress: Progress | None = None,
) -> Written:
    """Write the recordings of a source as shards.

    A shard whose index is present is complete and is left as it is, so a stopped run continues where it was.

    Args:
        source: one that reads recordings from disk, such as ``pairs`` or ``valentini``.
        out: folder to write to: a new one, or one that holds shards of the same source.
        per_shard: recordings, or pairs, in each shard.
        workers: processes; None takes one per core, 1 works in this process.
        damaged: ``refuse`` a recording that cannot be read, or ``skip`` it: leave it out and report it.
        progress: called after every shard.

    Returns:
        The number of shards; ``failed`` are the recordings that are in none.

    Raises:
        InputError: the source mixes on the fly, ``out`` holds something else or cannot be written, or a recording
            cannot be used.
    """
    if per_shard < 1:
        raise InputError("per_shard", f"{per_shard}", "at least 1")
    if not isinstance(source, Paired):
        hint = "write its mixtures with `sordino data render` first, and shard those"
        raise InputError("data", f"{source.name} mixes on the fly", "recordings on disk", hint)
    out = Path(out)
    jobs = [job for split in get_args(Split) for job in _jobs(out, split, source.pairs(split), per_shard)]
    sweep(out)
    _refuse_others(out, {job.path.name for job in jobs})
    result = Written()
    todo = []
    for job in jobs:
        if job.present():
            result.present += 1
            result.failed += open_archive(job.path).left_out
        else:
            todo.append(job)
    if source.synthetic:
        write_text(out / SYNTHETIC_MARK, NOTE)
    for left_out in run_jobs(_Packer(source.sample_rate, damaged), todo, workers):
        result.written += 1
        result.failed += left_out
        if progress:
            progress("sharding", result.present + result.written, len(jobs), {})
    result.failed.sort()
    return result


@dataclass(frozen=True)
class _Job:
    """One shard to write."""

    path: Path
    first: int
    """Number of its first recording in the split."""
    pairs: Sequence[Pair]

    def present(self) -> bool:
        """Whether the shard is complete; an InputError if it holds other recordings."""
        if not (self.path.is_file() and index_path(self.path).is_file()):
            return False
        archive = open_archive(self.path)
        ids = {member.id for member in archive.members} | {id for id, _ in archive.left_out}
        if ids != {pair.id for pair in self.pairs}:
            raise InputError(self.path, "holds other recordings than the source", hint="choose another folder")
        return True


def _jobs(out: Path, split: str, pairs: Sequence[Pair], per_shard: int) -> list[_Job]:
    """Divide the recordings of a split into shards."""
    starts = range(0, len(pairs), per_shard)
    jobs = []
    for number, first in enumerate(starts):
        path = out / f"{split}-{number:05d}-of-{len(starts):05d}.tar"
        jobs.append(_Job(path, first, pairs[first : first + per_shard]))
    return jobs


def _refuse_others(out: Path, names: set[str]) -> None:
    """Raise an InputError if a folder holds other files than these shards: a run must not train on two corpora."""
    if not out.is_dir():
        return
    expected = names | {index_path(Path(name)).name for name in names} | {SYNTHETIC_MARK}
    others = sorted({path.name for path in visible(out)} - expected)
    if others:
        raise InputError(out, f"holds {others[0]}, which is no shard of this source", "a new folder")


@dataclass(frozen=True)
class _Packer:
    """Writes a shard and returns (recording, reason) of the recordings that were left out."""

    sample_rate: int
    damaged: Damaged

    def __call__(self, job: _Job) -> list[tuple[str, str]]:
        left_out: list[tuple[str, str]] = []
        write_archive(job.path, self._items(job, left_out), self.sample_rate, left_out)
        return left_out

    def _items(self, job: _Job, left_out: list[tuple[str, str]]) -> Iterator[tuple[str, Item]]:
        """Yield (key, recording) of a shard; recordings that are left out are added to ``left_out``."""
        for number, pair in enumerate(job.pairs, job.first):
            try:
                item = PairSet.open([pair], self.sample_rate).whole()[0]
            except InputError as error:
                if self.damaged == "refuse":
                    raise
                left_out.append((pair.id, str(error)))
                continue
            if item.clean is None:
                (noisy,), clean = within_scale(item.noisy), None
            else:
                noisy, clean = within_scale(item.noisy, item.clean)
            yield f"{number:08d}", item._replace(noisy=noisy, clean=clean)
