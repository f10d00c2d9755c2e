"""Tables of a study: what each way of training scores in each scenario, over seeds, and how far apart two ways are.

A cell is the mean over seeds of the mean over files, with the standard deviation over seeds. Ways of training are
compared in pairs, file by file; the interval of a difference tells what other files and other seeds would have done to
it. Where both ways have one seed each, it can tell of files alone, and so says the table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sordino.errors import InputError
from sordino.evaluation.pesq_trained import PERCEPTUAL, perceptual_notes
from sordino.evaluation.score import Scores
from sordino.evaluation.statistics import (
    OVER_BOTH,
    OVER_FILES,
    Difference,
    Spread,
    Summary,
    over_seeds,
    paired_seeds,
    summarise_seeds,
)
from sordino.metrics import COLUMNS, Column, columns
from sordino.report.paper import PaperRow
from sordino.report.runs import INNER, SIZES, SYNTHETIC, Style, figure, grid, printed_notes

_SIZES = SIZES | {"params": Column("Params (K)", 1, 1e-3, higher_is_better=False)}  # students are small


class Cell(NamedTuple):
    """What was trained: a way of training, in a scenario."""

    scenario: str
    method: str


class Size(NamedTuple):
    """Of a network."""

    params: float
    flops_paper: float
    """Floating-point operations on 4 s of audio as the MV-AT paper counts them."""


@dataclass(frozen=True)
class Line:
    """One row of a study's table."""

    cell: Cell
    spreads: dict[str, Spread]
    """Metric column to mean and deviation over seeds."""
    by_seed: dict[str, list[float]]
    """Metric column to the mean of each seed."""
    summaries: dict[str, Summary]
    """Metric column to the mean on the files that all seeds have scores for, and its interval over files and seeds."""
    differences: dict[str, Difference]
    """Metric column to the difference from the reference method in the same scenario; empty for that method, and
    without the columns for which the two share no file."""
    seeds: int
    files: int
    size: Size | None = None
    printed: PaperRow | None = None
    """The row of the paper that it stands for."""
    perceptual: bool = False
    """Whether it was trained on a differentiable PESQ."""


def lines(
    scores: Mapping[Cell, Sequence[Scores]],
    against: str | None,
    sizes: Mapping[Cell, Size] | None = None,
    printed: Mapping[Cell, PaperRow] | None = None,
) -> list[Line]:
    """Sum up what a study scored on one test set.

    Args:
        scores: for each cell those of its seeds.
        against: the method that the others are compared with, if it was scored in their scenario.
        sizes: of the cells' networks.
        printed: the rows of the paper that cells stand for.
    """
    found = []
    for cell, runs in scores.items():
        measured = dict.fromkeys(column for one in runs for column in columns(one.metrics))
        shown = [column for column in measured if all(one.values(column) for one in runs)]
        means = [one.means() for one in runs]
        by_seed = {column: [one[column] for one in means] for column in shown}
        spreads = {column: over_seeds(values) for column, values in by_seed.items()}
        summaries = {
            column: summarise_seeds(values)
            for column in shown
            if (values := _on_shared([one.values(column) for one in runs]))[0]
        }
        reference = scores.get(Cell(cell.scenario, against)) if against and against != cell.method else None
        pairs = {column: _difference(runs, reference, column) for column in shown} if reference else {}
        differences = {column: difference for column, difference in pairs.items() if difference is not None}
        files = max(len(one.rows) for one in runs)
        beside = (sizes or {}).get(cell), (printed or {}).get(cell)
        perceptual = any(one.metadata.get(PERCEPTUAL) for one in runs)
        found.append(
            Line(cell, spreads, by_seed, summaries, differences, len(runs), files, *beside, perceptual=perceptual)
        )
    return found


def _difference(runs: Sequence[Scores], reference: Sequence[Scores], column: str) -> Difference | None:
    """Files that some run has no score for are left out on both sides; None where that leaves no file."""
    values = _on_shared([one.values(column) for one in (*runs, *reference)])
    return paired_seeds(values[: len(runs)], values[len(runs) :]) if values[0] else None


def _on_shared(values: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """The scores of several runs on the files that all of them have scores for."""
    shared = sorted(set.intersection(*(set(one) for one in values)))
    return [{name: one[name] for name in shared} for one in values]


def table(
    found: Mapping[str, Sequence[Line]],
    style: Style = "text",
    against: str | None = None,
    synthetic: bool = False,
    note: str = "",
) -> str:
    """Write the lines of a study as one table for each test set; CSV is one in all, unrounded, in base units.

    Args:
        found: name of each test set to its lines; a single one goes without its name.
        style: ``text`` (aligned), ``markdown``, ``latex`` (booktabs) or ``csv``.
        against: the method that the others are compared with.
        synthetic: whether the data is.
        note: a further remark below each table.

    Raises:
        InputError: there are no lines, or no such style.
    """
    if not any(found.values()):
        raise InputError("study", "has no finished run")
    if style not in ("text", "markdown", "latex", "csv"):
        raise InputError("style", f"no table style {style!r}", "text, markdown, latex or csv")
    if style == "csv":
        return _csv(found)
    parts = []
    for name, own in found.items():
        heading = {"text": name, "markdown": f"**{name}**", "latex": f"% {name}"}[style] if len(found) > 1 else ""
        told = notes(own, against, note) + ([SYNTHETIC] if synthetic else [])
        if style == "latex":
            parts.append("\n".join(filter(None, [heading, *(f"% {note}" for note in told), grid(*cells(own), style)])))
        else:
            parts.append("\n\n".join(filter(None, [heading, grid(*cells(own), style).rstrip(), " ".join(told)])) + "\n")
    return "\n".join(parts)


def notes(found: Sequence[Line], against: str | None = None, note: str = "") -> list[str]:
    """What a reader of the table must know: what stands behind a mean, what a difference is, and ``note``."""
    seeds, files = (max(getattr(line, name) for line in found) for name in ("seeds", "files"))
    told = [f"Mean ± standard deviation over {seeds} seed(s), on {files} file(s)."]
    if any(line.differences for line in found):
        told.append(f"Δ: above {against} on the same files, with its {OVER_BOTH if seeds > 1 else OVER_FILES}.")
    told += perceptual_notes(line.cell.method for line in found if line.perceptual)
    told += [note] if note else []
    return told + printed_notes({line.printed.name: line.printed for line in found if line.printed})


def cells(found: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the table, as strings; columns in which nothing stands are left out.

    What CSIG, CBAK and COVL are made of stands in CSV alone.
    """
    columns = {"Scenario": [line.cell.scenario for line in found], "Method": [line.cell.method for line in found]}
    for name, look in _SIZES.items():
        columns[look.label] = [look.show(getattr(line.size, name)) if line.size else "" for line in found]
        columns[f"{look.label}, printed"] = [_printed(line, look, name) for line in found]
    columns["Seeds"] = [str(line.seeds) for line in found]
    for name in outer(found):
        look = COLUMNS[name]
        columns[look.label] = [_spread(look, line.spreads.get(name)) for line in found]
        columns[f"{look.label}, printed"] = [_printed(line, look, name) for line in found]
        columns[f"Δ {look.label}"] = [_delta(look, line.differences.get(name)) for line in found]
    shown = {label: texts for label, texts in columns.items() if any(texts) or label == "Scenario"}
    return list(shown), [list(row) for row in zip(*shown.values(), strict=True)]


def outer(found: Sequence[Line]) -> list[str]:
    """The metric columns that tables and plots show."""
    return list(dict.fromkeys(name for line in found for name in line.spreads if name not in INNER))


def _printed(line: Line, look: Column, name: str) -> str:
    beside = figure(line.printed, name)
    return "" if beside is None else look.show(beside)


def _spread(look: Column, spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{look.show(spread.mean)} ± {look.show(spread.std)}" if spread.n > 1 else look.show(spread.mean)


def _delta(look: Column, difference: Difference | None) -> str:
    if difference is None:
        return ""
    shown = f"{'+' if difference.mean >= 0 else ''}{look.show(difference.mean)}"
    if difference.low is None:
        return shown
    return f"{shown} [{look.show(difference.low)}, {look.show(difference.high)}]"


def _csv(found: Mapping[str, Sequence[Line]]) -> str:
    rows = [{"test": name, **_values(line)} for name, own in found.items() for line in own]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _values(line: Line) -> dict[str, object]:
    """What CSV has of a line; the figures of the paper only if it has any."""
    row: dict[str, object] = {"scenario": line.cell.scenario, "method": line.cell.method}
    row |= {"seeds": line.seeds, "files": line.files}
    for name in _SIZES:
        row[name] = getattr(line.size, name) if line.size else None
        row |= _beside(line, name)
    for name, spread in line.spreads.items():
        row |= {name: spread.mean, f"{name}_std": spread.std if spread.n > 1 else None, **_beside(line, name)}
        summary, difference = line.summaries.get(name), line.differences.get(name)
        if summary is not None:
            row |= {f"{name}_low": summary.low, f"{name}_high": summary.high}
        if difference is not None:
            row |= {f"{name}_difference": difference.mean, f"{name}_difference_low": difference.low}
            row[f"{name}_difference_high"] = difference.high
    return row


def _beside(line: Line, name: str) -> dict[str, object]:
    return {f"{name}_printed": figure(line.printed, name)} if line.printed else {}
