"""Parts that all pages share.

A page is one HTML file that needs no network, and follows the light or dark scheme and the width of the screen.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from sordino.assets import PAGE
from sordino.errors import InputError
from sordino.files import demand_own
from sordino.report.columns import SYNTHETIC

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

_OWN = b'<main class="sordino">'

PARTS = (PAGE / "parts.css").read_text("utf-8")
STYLE = (PAGE / "page.css").read_text("utf-8") + PARTS


def check_page(path: str | Path | None, examples: int = 0) -> None:
    """Refuse to write over a file that is not a page of this kind; None is accepted.

    Args:
        path: of the page.
        examples: number of recordings that it will play.

    Raises:
        InputError: it is another file, or the number is below 0.
    """
    if examples < 0:
        raise InputError("--examples", f"{examples}", "0 or more")
    if path is not None:
        demand_own(path, _OWN, "page")


def page(title: str, sections: Mapping[str, str], synthetic: bool, script: str = "") -> str:
    """Write the whole file.

    Args:
        title: heading of the page, as plain text.
        sections: heading to HTML; empty ones are left out.
        synthetic: whether a banner says that the data is.
        script: JavaScript that the page runs, if any.
    """
    banner = f'<p class="banner" role="note">{SYNTHETIC}</p>' if synthetic else ""
    filled = [f"<section>\n<h2>{name}</h2>\n{content}\n</section>" for name, content in sections.items() if content]
    body = "\n".join(part for part in (f"<h1>{escape(title)}</h1>", banner, *filled) if part)
    element = f"<script>\n{script}</script>\n" if script else ""
    return _PAGE.format(title=escape(title), style=STYLE, body=unique_names(body), script=element)


def grid(figures: Sequence[str]) -> str:
    """Put figures side by side, as many as fit the width of the screen."""
    return '<div class="grid">\n' + "\n".join(figures) + "\n</div>" if figures else ""


def figure(caption: str, *content: str) -> str:
    """Write a card: its caption as plain text, and below it the content as HTML."""
    return "\n".join(["<figure>", f"<figcaption>{escape(caption)}</figcaption>", *content, "</figure>"])


def unique_names(body: str, prefix: str = "f") -> str:
    """Make the names (``id``) inside of figures unique on a page by numbering them; matplotlib gives all the same.

    Args:
        body: HTML.
        prefix: of the new names; one for each part where parts are added to a page later.
    """
    numbers = itertools.count(1)

    def number(svg: re.Match[str]) -> str:
        return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}{next(numbers)}-", svg.group())

    return re.sub(r"<svg .*?</svg>", number, body, flags=re.DOTALL)
