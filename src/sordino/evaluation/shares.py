"""Shares of an evaluation: what each process found on the recordings that it took, and how they become one result."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

from sordino.audio.alignment import Alignment
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
    alignments: dict[int, Alignment]
    """By place in the whole test set; of recordings whose reference was checked."""


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return the name of a recording, with a number if it is taken, as mixtures of other speakers may have the same."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def merged_rows(shares: Sequence[Share]) -> tuple[dict[int, dict[str, Any]], list[Failure]]:
    """Merge the rows, by place, and the failures of all processes, in the order of the recordings."""
    scored = sorted(chain.from_iterable(share.scored for share in shares), key=lambda one: one[0].place)
    rows: dict[int, dict[str, Any]] = {}
    names: set[str] = set()
    failures: list[Failure] = []
    for (place, row), missing in scored:
        name = _free_name(row["id"], names)
        names.add(name)
        rows[place] = row | {"id": name}
        failures += [replace(failure, id=name) for failure in missing]
    return rows, failures


def lost_recordings(shares: Sequence[Share], metrics: Sequence[str], others: bool) -> list[Failure]:
    """Return the failures of recordings that cannot be read; where there are no others, the first error is raised."""
    failures = []
    for share in shares:
        for error in share.unreadable:
            if not others:
                raise error
            failures += [Failure(error.where, name, str(error)) for name in metrics]
    return failures


def misaligned(shares: Sequence[Share], names: Mapping[int, str]) -> dict[str, Any]:
    """Return what metadata says: ``lags``, id -> samples by which the estimate is late, and ids of ``foreign``.

    Args:
        shares: of all processes.
        names: ids by place.
    """
    lags, foreign = {}, []
    for place, aligned in sorted(chain.from_iterable(share.alignments.items() for share in shares)):
        if aligned.lag:
            lags[names[place]] = aligned.lag
        if aligned.foreign:
            foreign.append(names[place])
    return {"lags": lags, "foreign": foreign}
