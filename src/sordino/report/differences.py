"""How far models are apart, file by file: the differences of a table of models or of a study, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.evaluation.statistics import OVER_FILES, Difference, paired_seeds
from sordino.metrics import columns, look_of
from sordino.report.columns import INNER, difference_cell
from sordino.report.table import Cell, Table

if TYPE_CHECKING:
    from sordino.report.runs import RunRow


def differences(runs: Sequence[Scores], reference: Sequence[Scores]) -> dict[str, Difference]:
    """Compare two ways of training, each with one seed or several.

    Args:
        runs: scores of each seed.
        reference: likewise, of what they are compared with.

    Returns:
        Metric column to the difference on the files that all of them have scores for; without the columns for which
        there is no such file.
    """
    found = {}
    for column in dict.fromkeys(chain.from_iterable(columns(run.metrics) for run in runs)):
        both = on_shared_files([*runs, *reference], column)
        if both[0]:
            found[column] = paired_seeds(both[: len(runs)], both[len(runs) :])
    return found


def on_shared_files(runs: Sequence[Scores], column: str) -> list[dict[str, float]]:
    """The scores of several runs in a column, file to score, on the files that all of them have scores for."""
    scores = [run.values(column) for run in runs]
    shared = sorted(set.intersection(*map(set, scores)))
    on_shared = []
    for own in scores:
        on_shared.append({name: own[name] for name in shared})
    return on_shared


def compared(rows: Sequence[RunRow], against: str) -> list[RunRow]:
    """Return the rows with their differences to one of them, where they have the scores of files.

    Args:
        rows: of a table of models.
        against: the name of the row that the others are compared with.

    Raises:
        InputError: there is no such row, or it has no scores of files.
    """
    reference = next((row.scores for row in rows if row.name == against), None)
    if reference is None:
        raise InputError("against", f"no scores of {against}", ", ".join(row.name for row in rows))
    filled = []
    for row in rows:
        own = {} if row.name == against or row.scores is None else differences([row.scores], [reference])
        filled.append(replace(row, against=against, differences=own))
    return filled


def difference_table(rows: Sequence[RunRow]) -> Table:
    """Make the table of what ``compared`` filled in: a row for each metric, a column for each model.

    Raises:
        InputError: no row has differences.
    """
    others = [row for row in rows if row.differences]
    if not others:
        raise InputError("differences", "there are none", "two models or more with scores of the same files")
    keys = [f"model {place}" for place in range(len(others))]  # a model may be called like a column
    heads = {"metric": f"Above {others[0].against}"} | {key: row.name for key, row in zip(keys, others, strict=True)}
    shown = dict.fromkeys(column for row in others for column in row.differences if column not in INNER)
    lines = []
    for column in shown:
        look = look_of(column)
        cells = {"metric": Cell(look.label)}
        for key, row in zip(keys, others, strict=True):
            if column in row.differences:
                cells[key] = difference_cell(look, row.differences[column])
        lines.append(cells)
    notes = [f"Differences on the same files, each with its {OVER_FILES}."]
    return Table(heads, lines, notes + _fewer_files(others, list(shown)), name="Table of differences")


def _fewer_files(rows: Sequence[RunRow], shown: Sequence[str]) -> list[str]:
    """Say which differences are over fewer files than others, as a metric had no value for an estimate."""
    most = max(row.differences[column].n for row in rows for column in shown if column in row.differences)
    fewer = []
    for row in rows:
        for column in shown:
            if column in row.differences and row.differences[column].n < most:
                fewer.append(f"{row.name}, {look_of(column).short_label}: on {row.differences[column].n}")
    return [f"Not on all {most} files: {'; '.join(fewer)}."] if fewer else []
