"""Files for which all rows of a table have scores: means are over these files, and files left out are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sordino.evaluation.score import Scores
from sordino.evaluation.statistics import Summary, summarise
from sordino.metrics import look_of, owner


class _LeftOut(NamedTuple):
    """Files without a score of some metric by every row."""

    number: int
    files: int
    """How many there are in all."""
    example: str
    """The first of them, and why it is left out."""


def over_common_files(column: str, scores: Sequence[Scores | None]) -> list[Summary | None]:
    """Summarise one metric column over the files that all rows scored.

    Args:
        column: of a metric.
        scores: of each row; None of one that has means alone.

    Returns:
        A summary for each row, None where it has no score on these files. A row without any score of this column, as
        it was not asked for it or failed on every file, leaves no file out.
    """
    values = [{} if own is None else own.values(column) for own in scores]
    common = _common([own for own in values if own])
    return [summarise([own[name] for name in common]) if own and common else None for own in values]


def left_out_notes(columns: Sequence[str], names: Sequence[str], scores: Sequence[Scores | None]) -> list[str]:
    """Say for which metrics how many files are left out of the means, and why: metrics of the same files share a note.

    Args:
        columns: of metrics.
        names: of the rows.
        scores: of each row, as in ``over_common_files``.
    """
    groups: dict[_LeftOut, list[str]] = {}
    known = [(name, own) for name, own in zip(names, scores, strict=True) if own is not None]
    for column in columns:
        if found := _left_out(column, known):
            groups.setdefault(found, []).append(look_of(column).short_label)
    notes = []
    for found, labels in groups.items():
        kept = f"means over the {found.files - found.number} of {found.files} files that every row has scored"
        if found.number == found.files:
            kept = "no means, as no file is scored in every row"
        notes.append(f"{', '.join(labels)}: {kept}; {found.number} left out, such as {found.example}.")
    return notes + _without_any(columns, known)


def _without_any(columns: Sequence[str], rows: Sequence[tuple[str, Scores]]) -> list[str]:
    """Name the rows that have no score of a metric on any file, with the first reason; they leave no file out."""
    notes = []
    for name, own in rows:
        reasons = {failure.metric: failure for failure in reversed(own.failures)}
        for metric in dict.fromkeys(owner(column) for column in columns if not own.values(column)):
            if metric in reasons:
                first = reasons[metric]
                notes.append(f"{name} has no {metric} of any file: {first.reason} ({first.id}).")
    return notes


def _left_out(column: str, rows: Sequence[tuple[str, Scores]]) -> _LeftOut | None:
    """Return what is left out of the means of a column; None where nothing is, or where no row has any score of it."""
    rows = [(name, own) for name, own in rows if own.values(column)]
    common = set(_common([own.values(column) for _, own in rows]))
    files: dict[str, None] = {}
    for _, own in rows:
        files |= dict.fromkeys([row["id"] for row in own.rows] + [failure.id for failure in own.failures])
    missing = [name for name in files if name not in common]
    if not missing:
        return None
    metric = owner(column)
    for name, own in rows:
        for failure in own.failures:
            if failure.id == missing[0] and failure.metric == metric:
                return _LeftOut(len(missing), len(files), f"{missing[0]} ({name}: {failure.reason})")
    return _LeftOut(len(missing), len(files), missing[0])


def _common(values: Sequence[dict[str, float]]) -> list[str]:
    """Return the files of the first row, in its order, that all others have as well."""
    if not values:
        return []
    first, *others = values
    return [name for name in first if all(name in other for other in others)]
