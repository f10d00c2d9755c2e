"""Tables of a study: what each way of training scores in each scenario, over seeds, and how far apart two ways are.

A cell is the mean over seeds of the mean over files, with the standard deviation over seeds. Ways of training are
compared in pairs, file by file, each file's score being its mean over seeds: the interval then tells what other files
would have done to the difference, and the standard deviation what other seeds would have.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sotto.errors import InputError
from sotto.evaluate.report import SYNTHETIC, Style, grid
from sotto.evaluate.score import Scores
from sotto.evaluate.statistics import Difference, Spread, over_seeds, paired
from sotto.metrics import COLUMNS, columns


class Cell(NamedTuple):
    """What was trained: a way of training, in a scenario."""

    scenario: str
    method: str


@dataclass(frozen=True)
class Line:
    """One row of a study's table."""

    cell: Cell
    spreads: dict[str, Spread]
    """Metric column to mean and deviation over seeds."""
    by_seed: dict[str, list[float]]
    """Metric column to the mean of each seed."""
    differences: dict[str, Difference]
    """Metric column to the difference from the reference method in the same scenario; empty for that method, and
    without the columns for which the two share no file."""
    seeds: int
    parameters: int | None = None


def lines(
    scores: Mapping[Cell, Sequence[Scores]], against: str | None, parameters: Mapping[Cell, int] | None = None
) -> list[Line]:
    """Sum up a study.

    Args:
        scores: for each cell those of its seeds.
        against: the method that the others are compared with, if it was scored in their scenario.
        parameters: of each cell's network.
    """
    found = []
    for cell, runs in scores.items():
        measured = dict.fromkeys(column for one in runs for column in columns(one.metrics))
        shown = [column for column in measured if all(one.values(column) for one in runs)]
        means = [one.means() for one in runs]
        by_seed = {column: [one[column] for one in means] for column in shown}
        spreads = {column: over_seeds(values) for column, values in by_seed.items()}
        reference = scores.get(Cell(cell.scenario, against)) if against and against != cell.method else None
        pairs = {column: _difference(runs, reference, column) for column in shown} if reference else {}
        differences = {column: difference for column, difference in pairs.items() if difference is not None}
        found.append(Line(cell, spreads, by_seed, differences, len(runs), (parameters or {}).get(cell)))
    return found


def _difference(runs: Sequence[Scores], reference: Sequence[Scores], column: str) -> Difference | None:
    """Files that some run has no score for are left out on both sides; None where that leaves no file."""
    ours, theirs = _over_files(runs, column), _over_files(reference, column)
    shared = ours.keys() & theirs.keys()
    return paired({name: ours[name] for name in shared}, {name: theirs[name] for name in shared}) if shared else None


def _over_files(runs: Sequence[Scores], column: str) -> dict[str, float]:
    values = [one.values(column) for one in runs]
    shared = set.intersection(*(set(one) for one in values))
    return {name: sum(one[name] for one in values) / len(values) for name in sorted(shared)}


def table(found: Sequence[Line], style: Style = "text", against: str | None = None, synthetic: bool = False) -> str:
    """Write the lines of a study as one table; CSV has unrounded figures in base units.

    Raises:
        InputError: there are no lines, or no such style.
    """
    if not found:
        raise InputError("study", "has no finished run")
    if style not in ("text", "markdown", "latex", "csv"):
        raise InputError("style", f"no table style {style!r}", "text, markdown, latex or csv")
    if style == "csv":
        return _csv(found)
    header, rows = cells(found)
    text = grid(header, rows, style)
    told = notes(found, against) + ([SYNTHETIC] if synthetic else [])
    return ("".join(f"% {note}\n" for note in told) + text) if style == "latex" else text + "\n" + " ".join(told) + "\n"


def notes(found: Sequence[Line], against: str | None = None) -> list[str]:
    """What a reader of the table must know: what stands behind a mean, and what a difference is."""
    told = [f"Mean ± standard deviation over {max(line.seeds for line in found)} seed(s)."]
    if any(line.differences for line in found):
        told.append(f"Δ: above {against} on the same files, with its 95 % bootstrap interval over files.")
    return told


def cells(found: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the table, as strings."""
    shown = list(dict.fromkeys(column for line in found for column in line.spreads))
    sizes = any(line.parameters is not None for line in found)
    compared = any(line.differences for line in found)
    header = ["Scenario", "Method", *(["Params (K)"] if sizes else []), "Seeds"]
    for column in shown:
        header += [COLUMNS[column].label, *([f"Δ {COLUMNS[column].label}"] if compared else [])]
    rows = []
    for line in found:
        row = [line.cell.scenario, line.cell.method]
        row += [f"{line.parameters / 1e3:.1f}" if line.parameters is not None else ""] if sizes else []
        row.append(str(line.seeds))
        for column in shown:
            row.append(_spread(column, line.spreads.get(column)))
            row += [_delta(column, line.differences.get(column))] if compared else []
        rows.append(row)
    return header, rows


def _spread(column: str, spread: Spread | None) -> str:
    look = COLUMNS[column]
    if spread is None:
        return ""
    return f"{look.show(spread.mean)} ± {look.show(spread.std)}" if spread.n > 1 else look.show(spread.mean)


def _delta(column: str, difference: Difference | None) -> str:
    if difference is None:
        return ""
    show = COLUMNS[column].show
    sign = "+" if difference.mean >= 0 else ""
    return f"{sign}{show(difference.mean)} [{show(difference.low)}, {show(difference.high)}]"


def _csv(found: Sequence[Line]) -> str:
    rows = []
    for line in found:
        row: dict[str, object] = {"scenario": line.cell.scenario, "method": line.cell.method, "seeds": line.seeds}
        row["parameters"] = line.parameters
        for column, spread in line.spreads.items():
            row |= {column: spread.mean, f"{column}_std": spread.std if spread.n > 1 else None}
            difference = line.differences.get(column)
            if difference is not None:
                row |= {f"{column}_difference": difference.mean, f"{column}_difference_low": difference.low}
                row[f"{column}_difference_high"] = difference.high
        rows.append(row)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
