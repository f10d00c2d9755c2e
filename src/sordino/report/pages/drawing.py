"""Figures as SVG: inline for pages, whose text colour and width they take, or as files of their own."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from sordino.errors import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"  # stands for "the colour of the text around" until the SVG is written
COLOURS = ("#3b82f6", "#e8590c", "#2f9e44", "#c026d3", "#b08900", "#0e9aa7")  # legible on white and on near-black
DASHES = ("-", "--", "-.", ":")  # so that lines differ not by colour alone

Draw = Callable[["Figure"], None]


def line_style(index: int) -> dict[str, Any]:
    """Return the colour and dashes of one of several lines, for matplotlib; the first 24 all differ."""
    dashes = DASHES[(index + index // math.lcm(len(COLOURS), len(DASHES))) % len(DASHES)]
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": dashes}


def inline(draw: Draw, label: str, inches: tuple[float, float]) -> str:
    """Draw one figure as an SVG element for a page.

    Args:
        draw: fills an empty figure.
        label: describes the figure to those who do not see it.
        inches: width and height, of which the page keeps the ratio.
    """
    # Nothing refers to the names of images, and equal images in one figure would share theirs.
    foreign = r'<metadata>.*?</metadata>|<style.*?</style>| id="image[0-9a-f]+"'
    text = re.sub(foreign, "", _svg(draw, inches, "none", "none"), flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', text)
    content = text[text.index(">", text.index("<svg")) + 1 :].replace(INK, "currentColor")
    return f'<svg role="img" aria-label="{escape(label)}" {box.group() if box else ""}>{content.rstrip()}'


def standalone(draw: Draw, title: str, inches: tuple[float, float]) -> str:
    """Draw one figure as an SVG file for papers and dark pages, in black on white, with letters as outlines.

    Args:
        draw: fills an empty figure.
        title: of the file, which some viewers show.
        inches: width and height.
    """
    return _svg(draw, inches, "path", "white", Title=printable(title)).replace(INK, "#000000")


def _svg(draw: Draw, inches: tuple[float, float], letters: str, ground: str, **metadata: str) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    style: dict[Any, Any] = {
        "svg.fonttype": letters,
        "svg.hashsalt": "sordino",
        "font.size": 9,
        "axes.facecolor": ground,
        "text.parse_math": False,  # a title is text, whatever it holds
    }
    with rc_context({**style, **dict.fromkeys(inked, INK)}):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure)
        for text in figure.findobj(Text):
            text.set_text(printable(text.get_text()))
        out = io.StringIO()
        figure.savefig(out, format="svg", facecolor=ground, metadata={"Date": None, **metadata})
    return out.getvalue()
