"""Shares of an evaluation: what each process found on the recordings that it took, and how they become one result."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, NamedTuple

from sordino.audio.alignment import Alignment
from sordino.errors import InputError


@dataclass(frozen=True)
class Failure:
    """A metric that has no value for a file."""

    id: str
    metric: str
    reason: str


class Share(NamedTuple):
    """What one process of a distributed run found on its recordings."""

    scored: list[tuple[dict[str, Any], list[Failure]]]
    """Row of each recording, and the metrics that have no value for it."""
    unreadable: list[InputError]
    alignments: dict[str, Alignment]
    """By id; of recordings whose reference was checked."""


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return the name of a recording, with a number if it is taken, as mixtures of other speakers may have the same."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def merged_rows(shares: Sequence[Share]) -> tuple[list[dict[str, Any]], list[Failure]]:
    """Merge the rows and failures of all processes in the order of the recordings, which they took in turn."""
    rows: dict[str, dict[str, Any]] = {}
    failures: list[Failure] = []
    for turn in zip_longest(*(share.scored for share in shares)):
        for scored in turn:
            if scored is None:  # of a process that has one recording less than others
                continue
            row, missing = scored
            name = _free_name(row["id"], rows)
            rows[name] = row | {"id": name}
            failures += [replace(failure, id=name) for failure in missing]
    return list(rows.values()), failures


def lost_recordings(shares: Sequence[Share], metrics: Sequence[str], others: bool) -> list[Failure]:
    """Return the failures of recordings that cannot be read; where there are no others, the first error is raised."""
    failures = []
    for share in shares:
        for error in share.unreadable:
            if not others:
                raise error
            failures += [Failure(error.where, name, str(error)) for name in metrics]
    return failures


def misaligned(shares: Sequence[Share]) -> dict[str, Any]:
    """Return what metadata says: ``lags``, id -> samples by which the estimate is late, and ids of ``foreign``."""
    lags, foreign = {}, []
    for share in shares:
        for name, aligned in share.alignments.items():
            if aligned.lag:
                lags[name] = aligned.lag
            if aligned.foreign:
                foreign.append(name)
    return {"lags": lags, "foreign": foreign}
