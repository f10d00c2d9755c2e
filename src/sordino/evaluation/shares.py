"""Shares of an evaluation: what each process found on the recordings that it took, and how they become one result."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

from sordino.errors import InputError
from sordino.evaluation.measuring import Recording


@dataclass(frozen=True)
class Failure:
    """A metric that has no value for a file."""

    id: str
    metric: str
    reason: str


class Share(NamedTuple):
    """What one process of a distributed run found on its recordings."""

    scored: list[tuple[Recording, list[Failure]]]
    """Each recording with its scores, and the metrics that have no value for it."""
    unreadable: list[InputError]


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return the name of a recording, with a number if it is taken, as mixtures of other speakers may have the same."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def merged(shares: Sequence[Share]) -> tuple[list[Recording], list[Failure]]:
    """Merge the recordings and failures of all processes in the order of the test set, each under a name of its own."""
    scored = sorted(chain.from_iterable(share.scored for share in shares), key=lambda one: one[0].place)
    recordings: list[Recording] = []
    names: set[str] = set()
    failures: list[Failure] = []
    for recording, missing in scored:
        name = _free_name(recording.row["id"], names)
        names.add(name)
        recordings.append(recording._replace(row=recording.row | {"id": name}))
        failures += [replace(failure, id=name) for failure in missing]
    return recordings, failures


def lost_recordings(shares: Sequence[Share], metrics: Sequence[str], others: bool) -> list[Failure]:
    """Return the failures of recordings that cannot be read; where there are no others, the first error is raised."""
    failures = []
    for share in shares:
        for error in share.unreadable:
            if not others:
                raise error
            failures += [Failure(error.where, name, error.reason) for name in metrics]
    return failures


def misaligned(recordings: Sequence[Recording]) -> dict[str, Any]:
    """Return what metadata says: ``lags``, id -> samples by which the estimate is late, and ids of ``foreign``."""
    lags, foreign = {}, []
    for _, row, aligned, _ in recordings:
        if aligned is None:
            continue
        if aligned.lag:
            lags[row["id"]] = aligned.lag
        if aligned.foreign:
            foreign.append(row["id"])
    return {"lags": lags, "foreign": foreign}
