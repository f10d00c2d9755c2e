"""The shell that all pages share: one HTML file that asks nothing of the network and follows the reader's light or
dark scheme and the width of the screen.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from html import escape

from sordino.assets import PAGE
from sordino.report.runs import SYNTHETIC, Cell

Rows = Sequence[Sequence[Cell]]

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main class="sordino">
{body}
</main>
{script}</body>
</html>
"""

PARTS = (PAGE / "parts.css").read_text("utf-8")
STYLE = (PAGE / "page.css").read_text("utf-8") + PARTS


def page(title: str, sections: Mapping[str, str], synthetic: bool, script: str = "") -> str:
    """The whole file.

    Args:
        title: heading of the page, as plain text.
        sections: heading to HTML; empty ones are left out.
        synthetic: whether a banner says that the data is.
        script: JavaScript that the page runs, if any.
    """
    banner = f'<p class="banner" role="note">{SYNTHETIC}</p>' if synthetic else ""
    filled = [f"<section>\n<h2>{name}</h2>\n{content}\n</section>" for name, content in sections.items() if content]
    body = "\n".join(part for part in (f"<h1>{escape(title)}</h1>", banner, *filled) if part)
    ran = f"<script>\n{script}</script>\n" if script else ""
    return _PAGE.format(title=escape(title), style=STYLE, body=unique_names(body), script=ran)


def grid(figures: Sequence[str]) -> str:
    """Figures side by side, as many as the screen is wide."""
    return '<div class="grid">\n' + "\n".join(figures) + "\n</div>" if figures else ""


def figure(caption: str, *content: str) -> str:
    """A card: its caption as plain text, and what stands below it as HTML."""
    return "\n".join(["<figure>", f"<figcaption>{escape(caption)}</figcaption>", *content, "</figure>"])


def table(header: Sequence[str], groups: Mapping[str, Rows], label: str, notes: Sequence[str] = ()) -> str:
    """A table that scrolls sideways by itself, below what its reader must know.

    Args:
        header: names of the columns.
        groups: heading to rows; the first cell of each heads its row. A group whose heading is empty has none.
        label: what the table is, for those who do not see it.
        notes: sentences of plain text.
    """
    head = "<tr>" + "".join(f'<th scope="col">{escape(name)}</th>' for name in header) + "</tr>"
    bodies = []
    for heading, rows in groups.items():
        span = f'colspan="{len(header)}" scope="rowgroup"'
        lines = [f"<tr><th {span}>{escape(heading)}</th></tr>"] if heading else []
        bodies.append("\n".join(["<tbody>", *lines, *map(_row, rows), "</tbody>"]))
    whole = f"<table>\n<thead>{head}</thead>\n" + "\n".join(bodies) + "\n</table>"
    around = "".join(f'<p class="note">{escape(note)}</p>\n' for note in notes)
    return f'{around}<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0">\n{whole}\n</div>'


def _row(cells: Sequence[Cell]) -> str:
    first, *rest = cells
    figures = "".join(
        f"<td>{escape(cell.text)}{f'<small>{escape(cell.interval)}</small>' if cell.interval else ''}</td>"
        for cell in rest
    )
    return f'<tr><th scope="row">{escape(first.text)}</th>{figures}</tr>'


def unique_names(body: str, prefix: str = "f") -> str:
    """Number the names inside each figure: all figures name their parts alike, and on a page each name is unique.

    Args:
        body: HTML.
        prefix: of the new names, for parts that are put on one page one by one.
    """
    numbers = itertools.count(1)

    def number(drawn: re.Match[str]) -> str:
        return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}{next(numbers)}-", drawn.group())

    return re.sub(r"<svg .*?</svg>", number, body, flags=re.DOTALL)
