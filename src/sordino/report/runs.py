"""Tables of results: one row per model, as text, Markdown, LaTeX or CSV.

A table says how many files stand behind it, how many had no score, and when the data is synthetic. The paper's figures
are put beside ours only on demand: they hold for its test set, and a subset of it is another test set.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from sordino.errors import InputError
from sordino.evaluation.pesq_trained import PERCEPTUAL, perceptual_notes
from sordino.metrics import COLUMNS, METRICS, Column
from sordino.report.paper import PaperRow, source

if TYPE_CHECKING:
    from sordino.evaluation.score import Scores

Style = Literal["text", "markdown", "latex", "csv"]

NOISY = "noisy"
SYNTHETIC = "The data is synthetic: these figures say nothing about recordings of real speech."
SHOWN = (
    *("pesq_wb", "stoi", "estoi", "csig", "cbak", "covl", "si_sdr_db"),
    *("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak"),
)
INNER = METRICS["composite"].columns.keys() - set(SHOWN)  # what CSIG and its like are made of

SIZES = {  # fields of Result and of PaperRow
    "params": Column("Params (M)", 2, 1e-6, higher_is_better=False),
    "flops_paper": Column("FLOPs, paper (G)", 2, 1e-9, higher_is_better=False),
}


@dataclass(frozen=True)
class Result:
    """What a table says of one model on one test set."""

    name: str
    means: dict[str, float]
    """Metric column to mean over files."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Metric column to the 95 % interval of that mean."""
    n: int = 0
    """Files scored."""
    failures: int = 0
    """Metrics that had no value for a file."""
    params: float | None = None
    flops_paper: float | None = None
    """Floating-point operations on 4 s of audio as the MV-AT paper counts them."""
    synthetic: bool = False
    perceptual: bool = False
    """Whether it was trained on a differentiable PESQ."""
    paper: str = ""
    """The paper's name for this model, when it is not ``name``."""

    @classmethod
    def of(
        cls,
        scores: Scores,
        name: str = "",
        params: float | None = None,
        flops_paper: float | None = None,
        paper: str = "",
    ) -> Result:
        """Sum up the scores of one model; ``name`` defaults to the one in the scores' metadata."""
        summaries = scores.summary()
        return cls(
            name=name or str(scores.metadata.get("model", "")),
            means={column: summary.mean for column, summary in summaries.items()},
            intervals={
                column: (summary.low, summary.high)
                for column, summary in summaries.items()
                if summary.low is not None and summary.high is not None
            },
            n=len(scores.rows),
            failures=len(scores.failures),
            params=params,
            flops_paper=flops_paper,
            synthetic=bool(scores.metadata.get("synthetic", False)),
            perceptual=bool(scores.metadata.get(PERCEPTUAL, False)),
            paper=paper,
        )


class Cell(NamedTuple):
    """One figure as it is shown, and its interval where it has one."""

    text: str
    interval: str = ""


def table(
    results: Sequence[Result],
    style: Style = "text",
    paper: Sequence[PaperRow] = (),
    intervals: bool = False,
    shown: Sequence[str] = SHOWN,
) -> str:
    """Write the results of several models on the same test set as one table.

    Args:
        results: one per model; the one called ``noisy`` comes first.
        style: ``text`` (aligned), ``markdown``, ``latex`` (booktabs) or ``csv`` (unrounded, base units).
        paper: rows of ``paper.results(...)``; their figures stand beside those of the models with the same name.
        intervals: whether each mean is followed by its 95 % interval. CSV always has them.
        shown: the metric columns; one that no model has is left out.

    Raises:
        InputError: there are no results, or no such style.
    """
    if style not in ("text", "markdown", "latex", "csv"):
        raise InputError("style", f"no table style {style!r}", "text, markdown, latex or csv")
    if style == "csv":
        return _csv(results, paper, shown)
    header, rows = cells(results, paper, shown)
    flat = [
        [f"{cell.text} {cell.interval}" if intervals and cell.interval else cell.text for cell in row] for row in rows
    ]
    text = grid(header, flat, style)
    told = "".join(f"% {note}\n" if style == "latex" else f"\n{note}\n" for note in notes(results, paper))
    return told + text if style == "latex" else text + told


def cells(
    results: Sequence[Result], paper: Sequence[PaperRow] = (), shown: Sequence[str] = SHOWN
) -> tuple[list[str], list[list[Cell]]]:
    """Lay the table out: the header, and one row of cells per model. The arguments are those of :func:`table`."""
    ordered, printed = _ordered(results), _printed(results, paper)
    shown_columns = SIZES | {column: COLUMNS[column] for column in shown}
    header, columns = ["Model"], [[Cell(result.name) for result in ordered]]
    for column, look in shown_columns.items():
        if any(figure(result, column) is not None for result in ordered):
            header.append(look.label)
            columns.append([_cell(result, column, look) for result in ordered])
        figures = [figure(printed.get(result.name), column) for result in ordered]
        if any(figure is not None for figure in figures):
            header.append(f"{look.label}, printed")
            columns.append([Cell(look.show(figure)) for figure in figures])
    header.append("Files")
    columns.append([Cell(str(result.n)) for result in ordered])
    if any(result.failures for result in ordered):
        header.append("Not scored")
        columns.append([Cell(str(result.failures)) for result in ordered])
    return header, [list(row) for row in zip(*columns, strict=True)]


def notes(results: Sequence[Result], paper: Sequence[PaperRow] = ()) -> list[str]:
    """What a reader must know: that data is synthetic, who was trained on PESQ, what the paper's figures are."""
    told = [SYNTHETIC] if any(result.synthetic for result in results) else []
    told += perceptual_notes(result.name for result in results if result.perceptual)
    return told + printed_notes(_printed(results, paper))


def printed_notes(beside: Mapping[str, PaperRow]) -> list[str]:
    """What a reader must know of the paper's figures: where they come from, and of which models not to compare them.

    Args:
        beside: name of each model that has any to its row.
    """
    if not beside:
        return []
    told = [f"Printed: {source()}, on {', '.join(dict.fromkeys(row.test_set for row in beside.values()))}."]
    return told + [f"{name}, printed: {row.note}." for name, row in beside.items() if row.note]


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], style: Style = "text") -> str:
    """Write a header and rows of strings; the first column to the left, the others to the right."""
    if style == "latex":
        lines = [" & ".join(map(_tex, row)) + r" \\" for row in (header, *rows)]
        body = [rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"\toprule", lines[0], r"\midrule", *lines[1:]]
        return "\n".join([*body, r"\bottomrule", r"\end{tabular}"]) + "\n"
    lines = [[cell.replace("|", r"\|") if style == "markdown" else cell for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left, right = str.ljust, str.rjust
    padded = [
        [(right if i else left)(cell, width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
        for row in lines
    ]
    if style == "markdown":
        rule = ["-" * (width - 1) + (":" if i else "-") for i, width in enumerate(widths)]
        return "".join(f"| {' | '.join(row)} |\n" for row in (padded[0], rule, *padded[1:]))
    rule = ["-" * width for width in widths]
    return "".join("  ".join(row).rstrip() + "\n" for row in (padded[0], rule, *padded[1:]))


def figure(row: Result | PaperRow | None, column: str) -> float | None:
    """A size or a mean of a row, where it has one."""
    if row is None:
        return None
    return getattr(row, column) if column in SIZES else row.means.get(column)


def _ordered(results: Sequence[Result]) -> list[Result]:
    if not results:
        raise InputError("results", "there are none", "one or more models")
    return sorted(results, key=lambda result: result.name.lower() != NOISY)


def _printed(results: Sequence[Result], paper: Sequence[PaperRow]) -> dict[str, PaperRow]:
    rows = {row.name: row for row in paper}
    return {result.name: rows[key] for result in results if (key := result.paper or result.name) in rows}


def _cell(result: Result, column: str, look: Column) -> Cell:
    interval = result.intervals.get(column)
    spread = f"[{look.show(interval[0])}, {look.show(interval[1])}]" if interval else ""
    return Cell(look.show(figure(result, column)), spread)


def _csv(results: Sequence[Result], paper: Sequence[PaperRow], shown: Sequence[str]) -> str:
    printed, rows = _printed(results, paper), []
    for result in _ordered(results):
        row: dict[str, object] = {"name": result.name}
        for column in (*SIZES, *shown):
            row[column] = figure(result, column)
            if column in shown:
                row[f"{column}_low"], row[f"{column}_high"] = result.intervals.get(column, (None, None))
            if printed:
                row[f"{column}_printed"] = figure(printed.get(result.name), column)
        rows.append(row | {"n": result.n, "failures": result.failures, "synthetic": result.synthetic})
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


_TEX = {"\\": r"\textbackslash{}", "–": "--", "†": r"\dag{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {character: "\\" + character for character in "&%$#_{}"}


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)
