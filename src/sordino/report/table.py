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
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Literal, NamedTuple, get_args

from sordino.errors import InputError, printable
from sordino.files import spreadsheet

Style = Literal["text", "markdown", "latex", "csv", "html"]

# Signs outside ASCII that tables use and LaTeX sets differently, or not at all. ``tabulate`` leaves them as they are.
_LATEX_SIGNS = str.maketrans({"–": "--", "†": r"\dag{}", "±": r"$\pm$", "Δ": r"$\Delta$"})

# It would end a cell of Markdown.
_ESCAPED = {"|": r"\|"}

_TAG = re.compile(r"<(?=[A-Za-z/!?])")


class Cell(NamedTuple):
    """One entry of a table; an empty one stands for a missing value."""

    text: str = ""
    """What is shown, rounded and scaled."""
    interval: str = ""
    """Shown beside the text."""
    value: object = None
    """What CSV holds, unrounded and in base units; the text when left out."""

    def raw(self) -> object:
        """Return what CSV holds."""
        return self.text if self.value is None else self.value


@dataclass(frozen=True)
class Table:
    """A table, and what its reader must know."""

    labels: Mapping[str, str]
    """Key of each column that is shown -> its heading, in their order. Other columns are written to CSV alone."""
    rows: Sequence[Mapping[str, Cell]]
    """Key of a column -> cell; a key that is left out is a missing value. CSV has the columns as the rows name them."""
    notes: Sequence[str] = ()
    """Sentences of plain text. CSV, which is for programs, has none."""
    title: str = ""
    """Stands above the table in text, Markdown and LaTeX."""
    name: str = "Table"
    """What the table is, for those who have a page read to them."""
    group: str = ""
    """The key of a column whose values become headings within the HTML table, instead of a column."""
    missing: str = "–"
    """Shown for missing values."""
    complete: bool = False
    """Whether columns are shown in which no row has anything."""

    @classmethod
    def of(cls, header: Sequence[str], rows: Sequence[Sequence[object]], notes: Sequence[str] = ()) -> Table:
        """Make a table of finished entries.

        Args:
            header: headings of the columns; in CSV, those of one name are numbered.
            rows: an entry for each column; ``str`` gives its text, and an empty one is a missing value.
            notes: what the reader must know.
        """
        keys = []
        for place, label in enumerate(header):
            unique = header.count(label) == 1
            keys.append(label if unique else f"{label} {place}")
        cells = []
        for row in rows:
            cells.append({key: Cell(str(entry)) for key, entry in zip(keys, row, strict=True)})
        return cls(dict(zip(keys, header, strict=True)), cells, notes, complete=True)

    def write(self, style: Style) -> str:
        """Write the table in a style, ending with a line break.

        Raises:
            InputError: there is no such style.
        """
        if style not in get_args(Style):
            raise InputError("style", f"no table style {style!r}", ", ".join(get_args(Style)))
        return getattr(self, f"to_{style}")()

    def to_text(self) -> str:
        """Write aligned text: the first column to the left, the others to the right, and the notes below."""
        text = f"{self._tabulate('simple')}\n"
        if self.title:
            text = f"{self.title}\n\n{text}"
        if self.notes:
            text += "\n" + "".join(f"{note}\n" for note in self.notes)
        return printable(text)

    def to_markdown(self) -> str:
        """Write a Markdown table with every ``|`` inside of it escaped, and each note as a paragraph below."""
        text = f"{self._tabulate('pipe', _ESCAPED)}\n"
        if self.title:
            text = f"**{self.title}**\n\n{text}"
        for note in self.notes:
            text += f"\n{note}\n"
        # No HTML, links and pictures of what a name holds.
        return _TAG.sub("&lt;", printable(text)).replace("](", "]\\(")

    def to_latex(self) -> str:
        """Write a ``tabular`` of the package booktabs, with title and notes as comments above."""
        lines = "\n".join((self.title, *self.notes)).splitlines()
        comments = "".join(f"% {line}\n" for line in lines if line)
        table = self._tabulate("latex_booktabs").translate(_LATEX_SIGNS)
        return printable(f"{comments}{table}\n")

    def to_csv(self) -> str:
        """Write CSV: every column, shown or not, by its key, with raw values; missing ones are empty.

        A text that a spreadsheet would compute, such as a name that begins with ``=``, begins with ``'`` instead.
        """
        named: dict[str, None] = {}
        for row in self.rows:
            named |= dict.fromkeys(row)
        keys = list(named or self.labels)
        out = io.StringIO()
        writer = csv.DictWriter(out, keys, lineterminator="\n")
        writer.writerow({key: spreadsheet(key) for key in keys})
        for row in self.rows:
            writer.writerow({key: spreadsheet(cell.raw()) for key, cell in row.items()})
        return out.getvalue()

    def to_html(self) -> str:
        """Write an HTML table below its notes; it scrolls sideways by itself, and the first cell heads each row."""
        keys = [key for key in self._shown() if key != self.group]
        groups: dict[str, list[str]] = {}
        for row in self.rows:
            heading = row[self.group].text if self.group else ""
            cells = [row.get(key, Cell()) for key in keys]
            groups.setdefault(heading, []).append(self._html_row(cells))
        bodies = ""
        for heading, lines in groups.items():
            if heading:
                lines.insert(0, f'<tr><th colspan="{len(keys)}" scope="rowgroup">{escape(heading)}</th></tr>')
            bodies += "\n".join(["<tbody>", *lines, "</tbody>\n"])
        head = "".join(f'<th scope="col">{escape(self.labels[key])}</th>' for key in keys)
        notes = "".join(f'<p class="note">{escape(note)}</p>\n' for note in self.notes)
        region = f'<div class="scroll" role="region" aria-label="{escape(self.name)}" tabindex="0">'
        return printable(f"{notes}{region}\n<table>\n<thead><tr>{head}</tr></thead>\n{bodies}</table>\n</div>\n")

    def _shown(self) -> list[str]:
        """The keys of the columns that are shown, in the order of their labels."""
        if self.complete:
            return list(self.labels)
        filled = set()
        for row in self.rows:
            filled |= {key for key, cell in row.items() if cell.text}
        return [key for key in self.labels if key in filled]

    def _tabulate(self, style: str, replaced: Mapping[str, str] | None = None) -> str:
        """Lay the shown columns out, with some characters of the entries replaced."""
        from tabulate import tabulate

        keys = self._shown()
        characters = str.maketrans(dict(replaced or {}))
        rows = []
        for row in self.rows:
            texts = []
            for key in keys:
                cell = row.get(key, Cell())
                text = cell.text or self.missing
                if cell.interval:
                    text = f"{cell.text} {cell.interval}"
                # A line break inside of a name would break the row.
                texts.append(" ".join(text.split()).translate(characters))
            rows.append(texts)
        labels = [self.labels[key].translate(characters) for key in keys]
        aligned = ["left", *["right"] * (len(keys) - 1)]
        return tabulate(rows, labels, style, disable_numparse=True, colalign=aligned)

    def _html_row(self, cells: Sequence[Cell]) -> str:
        """Write the cells of a row, of which the first heads it."""
        first, *others = cells
        written = f'<th scope="row">{escape(first.text or self.missing)}</th>'
        for cell in others:
            figure = escape(cell.text or self.missing)
            if cell.interval:
                figure += f"<small>{escape(cell.interval)}</small>"
            written += f"<td>{figure}</td>"
        return f"<tr>{written}</tr>"


def without_empty_columns(rows: Sequence[Mapping[str, Cell]]) -> list[dict[str, Cell]]:
    """Return the rows without the columns in which none of them has anything."""
    filled = set()
    for row in rows:
        filled |= {key for key, cell in row.items() if cell.raw() != ""}
    return [{key: cell for key, cell in row.items() if key in filled} for row in rows]


def write_tables(tables: Sequence[Table], style: Style) -> str:
    """Write several tables as one document; in CSV they are one table, with every column that one of them has."""
    if style == "csv":
        rows: list[Mapping[str, Cell]] = []
        for table in tables:
            rows += table.rows
        return replace(tables[0], rows=rows).to_csv()
    return "\n".join(table.write(style) for table in tables)
