"""Shard: the recordings of a source put into a few large tar files, in parallel; ``Shards`` reads them.

Millions of small files are slow to list, to copy and to read over a network; files of a thousand recordings are not.
``OUT/train-00000-of-00012.tar`` and its like hold the recordings of each split in the source's order, as 16-bit FLAC,
so that the split is made once and a run on shards is given what a run on the files is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from sordino.audio.mix import within_scale
from sordino.data.archive import index_of, open_archive, pack
from sordino.data.base import Damaged, Source
from sordino.data.recordings import SYNTHETIC_MARK
from sordino.data.sources.pairs import Pair, Paired, PairSet, Split
from sordino.data.sources.synthetic import NOTE
from sordino.data.tools.pool import each
from sordino.errors import InputError
from sordino.files import sweep, write_text
from sordino.types import Item, Progress


@dataclass
class Sharded:
    """What became of the recordings."""

    written: int = 0
    """Shards."""
    present: int = 0
    """Shards there from an earlier run."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(recording, reason) of those that could not be read, and are in no shard."""


def shard(
    source: Source,
    out: str | Path,
    per_shard: int = 1000,
    workers: int | None = None,
    damaged: Damaged = "refuse",
    progress: Progress | None = None,
) -> Sharded:
    """Write the recordings of a source as shards.

    A shard whose index is present is whole and is left as it is, so a stopped run goes on where it was.

    Args:
        source: one that reads recordings from disk, such as ``pairs`` or ``valentini``.
        out: folder to write to: a new one, or one that holds shards of the same.
        per_shard: recordings, or pairs, in each.
        workers: processes; None takes one per core, 1 works in this process.
        damaged: refuse a recording that cannot be read, or leave it out and report it.
        progress: called after every shard.

    Returns:
        How many shards were written or were there before, and what is in none.

    Raises:
        InputError: the source mixes on the fly, ``out`` holds something else, a recording is unfit, or ``out`` cannot
            be written.
    """
    if per_shard < 1:
        raise InputError("per_shard", f"{per_shard}", "at least 1")
    if not isinstance(source, Paired):
        do = "write its mixtures with `sordino data render` first, and shard those"
        raise InputError("data", f"{source.name} mixes on the fly", "recordings on disk", do)
    out = Path(out)
    jobs = [job for split in get_args(Split) for job in _jobs(out, split, source.pairs(split), per_shard)]
    sweep(out)
    _refuse_others(out, {job.path.name for job in jobs})
    result = Sharded()
    todo = []
    for job in jobs:
        if job.present():
            result.present += 1
            result.failed += open_archive(job.path).left_out
        else:
            todo.append(job)
    if source.synthetic:
        write_text(out / SYNTHETIC_MARK, NOTE)
    for left_out in each(_Packer(source.sample_rate, damaged), todo, workers):
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
    """The number of its first recording in the split."""
    pairs: Sequence[Pair]

    def present(self) -> bool:
        """Whether it is there; InputError where it holds other recordings."""
        if not (self.path.is_file() and index_of(self.path).is_file()):
            return False
        archive = open_archive(self.path)
        there = {member.id for member in archive.members} | {id for id, _ in archive.left_out}
        if there != {pair.id for pair in self.pairs}:
            raise InputError(self.path, "holds other recordings than the source", hint="choose another folder")
        return True


def _jobs(out: Path, split: str, pairs: Sequence[Pair], per_shard: int) -> list[_Job]:
    starts = range(0, len(pairs), per_shard)
    return [
        _Job(out / f"{split}-{number:05d}-of-{len(starts):05d}.tar", first, pairs[first : first + per_shard])
        for number, first in enumerate(starts)
    ]


def _refuse_others(out: Path, names: set[str]) -> None:
    """Refuse a folder that holds anything but some of these shards, so that no run trains on a mixture of two."""
    ours = names | {index_of(Path(name)).name for name in names} | {SYNTHETIC_MARK}
    others = sorted(path.name for path in out.iterdir() if path.name not in ours) if out.is_dir() else []
    if others:
        raise InputError(out, f"holds {others[0]}, which is no shard of this source", "a new folder")


@dataclass(frozen=True)
class _Packer:
    """Writes a shard and returns (recording, reason) of what is not in it."""

    sample_rate: int
    damaged: Damaged

    def __call__(self, job: _Job) -> list[tuple[str, str]]:
        left_out: list[tuple[str, str]] = []
        pack(job.path, self._items(job, left_out), self.sample_rate, left_out)
        return left_out

    def _items(self, job: _Job, left_out: list[tuple[str, str]]) -> Iterator[tuple[str, Item]]:
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
