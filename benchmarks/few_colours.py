"""Save a figure of matplotlib as a small PNG: spectrograms need few colours."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from sordino.files import atomic


def save(figure: Figure, path: Path) -> None:
    """Write ``figure`` to ``path``, .png, in 20 colours."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=80)
    with atomic(path) as temporary:
        Image.open(drawn).convert("RGB").quantize(20).save(temporary, "PNG", optimize=True)
