"""One table for everything that is printed, written to a file or shown on a page.

A ``Table`` is filled once and written as aligned text, Markdown, LaTeX, CSV or HTML. Text, Markdown and LaTeX show
rounded figures; CSV holds the raw values in base units, and may have columns that are not shown. Nothing missing counts
as zero: CSV leaves the field empty, the other styles show a dash or nothing.

Which library writes what:

* ``tabulate`` aligns text and Markdown and writes LaTeX with booktabs. It is one module without dependencies and is
  imported when a table is written. Its detection of numbers is turned off, because it would rewrite the figures.
* Here: what ``tabulate`` leaves out. It does not escape ``|`` in Markdown, it passes signs to LaTeX that LaTeX cannot
  set, and its HTML has neither scopes for screen readers nor headings within the table.
* ``rich.table``, which is installed for the progress bars, draws for a terminal of a given width and cuts or wraps
  cells to fit; it knows neither LaTeX nor CSV.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Literal, NamedTuple

from sordino.errors import InputError

Style = Literal["text", "markdown", "latex", "csv", "html"]
DASH = "–"

# Signs outside ASCII that tables use and LaTeX sets differently, or not at all. ``tabulate`` leaves them as they are.
_LATEX_SIGNS = str.maketrans({"–": "--", "†": r"\dag{}", "±": r"$\pm$", "Δ": r"$\Delta$"})


class Heading(NamedTuple):
    """One column of a table."""

    key: str
    """Its name in CSV, and that of its cells in each row."""
    label: str = ""
    """Its heading where the table is shown; a column without one is written to CSV alone."""
    optional: bool = False
    """Not shown if no row has anything to show in it."""


class Cell(NamedTuple):
    """One entry of a table; an empty one stands for a missing value."""

    text: str = ""
    """What is shown, rounded and scaled."""
    interval: str = ""
    """Shown beside the text."""
    value: object = None
    """What CSV holds, unrounded and in base units; the text when left out."""


@dataclass(frozen=True)
class Table:
    """A table, and what its reader must know."""

    headings: Sequence[Heading]
    rows: Sequence[Mapping[str, Cell]]
    """Each maps the key of a column to a cell; a key that is left out is a missing value."""
    notes: Sequence[str] = ()
    """Sentences of plain text. CSV, which is for programs, has none."""
    title: str = ""
    """Stands above the table in text, Markdown and LaTeX."""
    label: str = "Table"
    """What the table is, for those who have a page read to them."""
    group: str = ""
    """The key of a column whose values become headings within the HTML table, instead of a column."""
    missing: str = DASH
    """Shown for missing values."""

    @classmethod
    def of(cls, labels: Sequence[str], rows: Sequence[Sequence[object]], notes: Sequence[str] = ()) -> Table:
        """Make a table of finished entries.

        Args:
            labels: headings of the columns; in CSV, those of one name are numbered.
            rows: an entry for each column; ``str`` gives its text, and None is a missing value.
            notes: what the reader must know.
        """
        keys = [label if labels.count(label) == 1 else f"{label} {place}" for place, label in enumerate(labels)]
        texts = [["" if entry is None else str(entry) for entry in row] for row in rows]
        cells = [dict(zip(keys, map(Cell, row), strict=True)) for row in texts]
        headings = [Heading(key, label or " ") for key, label in zip(keys, labels, strict=True)]
        return cls(headings, cells, notes)

    def write(self, style: Style) -> str:
        """Write the table in a style, ending with a line break.

        Raises:
            InputError: there is no such style.
        """
        writers = {
            "text": self.to_text,
            "markdown": self.to_markdown,
            "latex": self.to_latex,
            "csv": self.to_csv,
            "html": self.to_html,
        }
        if style not in writers:
            raise InputError("style", f"no table style {style!r}", ", ".join(writers))
        return writers[style]()

    def to_text(self) -> str:
        """Write aligned text: the first column to the left, the others to the right, and the notes below."""
        title = f"{self.title}\n\n" if self.title else ""
        notes = "".join(f"{note}\n" for note in self.notes)
        return f"{title}{self._tabulate('simple')}\n" + (f"\n{notes}" if notes else "")

    def to_markdown(self) -> str:
        """Write a Markdown table with every ``|`` inside of it escaped, and each note as a paragraph below."""
        title = f"**{self.title}**\n\n" if self.title else ""
        notes = "".join(f"\n{note}\n" for note in self.notes)
        return f"{title}{self._tabulate('pipe', {'|': chr(92) + '|'})}\n{notes}"

    def to_latex(self) -> str:
        """Write a ``tabular`` of the package booktabs, with title and notes as comments above."""
        comments = "".join(f"% {line}\n" for line in (self.title, *self.notes) if line)
        return f"{comments}{self._tabulate('latex_booktabs').translate(_LATEX_SIGNS)}\n"

    def to_csv(self) -> str:
        """Write CSV: every column, shown or not, by its key, with raw values; missing ones are empty."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([heading.key for heading in self.headings])
        for row in self.rows:
            cells = [row.get(heading.key, Cell()) for heading in self.headings]
            writer.writerow([cell.text if cell.value is None else cell.value for cell in cells])
        return out.getvalue()

    def to_html(self) -> str:
        """Write an HTML table below its notes; it scrolls sideways by itself, and the first cell heads each row."""
        headings = [heading for heading in self._shown() if heading.key != self.group]
        groups: dict[str, list[str]] = {}
        for row in self.rows:
            name = row.get(self.group, Cell()).text
            groups.setdefault(name, []).append(self._html_row(headings, row))
        bodies = []
        for name, lines in groups.items():
            span = f'colspan="{len(headings)}" scope="rowgroup"'
            heading = f"<tr><th {span}>{escape(name)}</th></tr>\n" if name else ""
            bodies.append(f"<tbody>\n{heading}" + "\n".join(lines) + "\n</tbody>\n")
        head = "".join(f'<th scope="col">{escape(heading.label)}</th>' for heading in headings)
        notes = "".join(f'<p class="note">{escape(note)}</p>\n' for note in self.notes)
        region = f'<div class="scroll" role="region" aria-label="{escape(self.label)}" tabindex="0">'
        table = f"<table>\n<thead><tr>{head}</tr></thead>\n{''.join(bodies)}</table>"
        return f"{notes}{region}\n{table}\n</div>\n"

    def _shown(self) -> list[Heading]:
        """The columns that are shown."""
        filled = {key for row in self.rows for key, cell in row.items() if cell.text}
        return [one for one in self.headings if one.label and (one.key in filled or not one.optional)]

    def _tabulate(self, style: str, replaced: Mapping[str, str] | None = None) -> str:
        """Lay the shown columns out, with some characters of the entries replaced."""
        from tabulate import tabulate

        headings, table = self._shown(), str.maketrans(dict(replaced or {}))
        labels = [heading.label.translate(table) for heading in headings]
        rows = []
        for row in self.rows:
            cells = [row.get(heading.key, Cell()) for heading in headings]
            texts = [f"{cell.text} {cell.interval}" if cell.interval else cell.text or self.missing for cell in cells]
            # A line break inside of a name would break the row.
            rows.append([" ".join(text.split()).translate(table) for text in texts])
        aligned = ["left", *["right"] * (len(headings) - 1)]
        return tabulate(rows, labels, style, disable_numparse=True, colalign=aligned)

    def _html_row(self, headings: Sequence[Heading], row: Mapping[str, Cell]) -> str:
        first, *others = (row.get(heading.key, Cell()) for heading in headings)
        figures = ""
        for cell in others:
            interval = f"<small>{escape(cell.interval)}</small>" if cell.interval else ""
            figures += f"<td>{escape(cell.text or self.missing)}{interval}</td>"
        return f'<tr><th scope="row">{escape(first.text or self.missing)}</th>{figures}</tr>'


def write_tables(tables: Sequence[Table], style: Style) -> str:
    """Write several tables as one document; in CSV they are one table, with every column that one of them has."""
    if style != "csv":
        return "\n".join(table.write(style) for table in tables)
    headings = {heading.key: heading for table in tables for heading in table.headings}
    rows = [row for table in tables for row in table.rows]
    return replace(tables[0], headings=list(headings.values()), rows=rows).to_csv()
