"""One HTML page of results: the table, learning curves, attention maps of methods, and examples to see and to hear.

The file holds everything: figures as SVG, sound as 16-bit WAV.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from sordino.audio.mix import fitting_gain
from sordino.audio.pcm import encode
from sordino.audio.wav import WavFormat, header
from sordino.evaluation.statistics import OVER_FILES
from sordino.files import write_text
from sordino.report.columns import SYNTHETIC
from sordino.report.differences import difference_table
from sordino.report.pages import listen, parts
from sordino.report.pages.drawing import inline, line_style
from sordino.report.pages.methods import heat_maps
from sordino.report.paper import PaperRow
from sordino.report.runs import RunRow, run_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = ("total", "loss", "kd", "valid")  # of a training log: ``kd/mvat`` is drawn, ``lr`` is not
POINTS = 400  # of a curve, at most; longer logs are averaged in blocks

Curves = Mapping[str, Sequence[Mapping[str, Any]]]


class Example(TypedDict):
    """One recording in several versions, all of one length and sample rate."""

    id: str
    sample_rate: int
    waves: Mapping[str, np.ndarray]
    """Name (``noisy``, ``clean``, each model) to [T]."""


def write_page(
    path: str | Path,
    title: str,
    results: Sequence[RunRow],
    curves: Curves | None = None,
    examples: Sequence[Example] = (),
    synthetic: bool = False,
    paper: Sequence[PaperRow] = (),
    tables: Curves | None = None,
    closing: Mapping[str, str] | None = None,
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        title: its heading.
        results: the table's rows.
        curves: run name to its log, one mapping per entry: ``step`` and figures such as ``total``, ``loss/weighted``,
            ``kd/mvat`` or ``valid/pesq_wb``, which are drawn, one picture each; others are left out.
        examples: recordings to show and play.
        synthetic: whether the data is; a banner says so. Results that say it of themselves suffice.
        paper: rows of ``paper.results(...)``, to stand beside those of ``results``.
        tables: run name to the records of its methods' weights; see ``sordino.report.pages.methods``.
        closing: further sections at the end, heading to HTML.

    Raises:
        InputError: there are no results, an example has no sound, or the file cannot be written.
    """
    table = run_table(results, paper, intervals=True)
    notes = [f"Means over files, and below each its {OVER_FILES} where there is one."]
    notes += [note for note in table.notes if note != SYNTHETIC]  # the banner says that
    tables_of_results = [replace(table, notes=notes)]
    if any(result.differences for result in results):
        tables_of_results.append(difference_table(results))
    sections = {
        "Results": "\n".join(one.to_html() for one in tables_of_results),
        "Learning curves": parts.grid(_curves(curves or {})),
        "Inside the distillation": heat_maps(tables or {}),
        "Examples": "\n".join(map(_example, examples)),
        **(closing or {}),
    }
    synthetic = synthetic or any(result.synthetic for result in results)
    script = listen.SCRIPT if examples else ""
    write_text(path, parts.page(title, sections, synthetic, script))


def _curves(curves: Curves) -> list[str]:
    """Draw one figure per quantity, with one line per run."""
    logged: dict[str, None] = {}
    for entry in chain.from_iterable(curves.values()):
        logged |= dict.fromkeys(name for name in entry if _logged(entry, name))
    return [_curve(name, curves) for name in logged if name.partition("/")[0] in DRAWN]


def _logged(entry: Mapping[str, Any], name: str) -> bool:
    return isinstance(entry.get(name), int | float)


def _curve(name: str, curves: Curves) -> str:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for index, (run, log) in enumerate(curves.items()):
            points = [(entry["step"], entry[name]) for entry in log if _logged(entry, name)]
            if points:
                steps, values = _thinned(np.array(points, float)).T
                marker = "." if len(steps) < 30 else ""
                axes.plot(steps, values, label=run, marker=marker, **line_style(index))
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)

    label = f"{name} over training steps of {', '.join(curves)}"
    return parts.figure(name, inline(draw, label, (4.2, 2.8)))


def _thinned(points: np.ndarray) -> np.ndarray:
    """Average neighbouring points so that no more than ``POINTS`` remain: [n, 2] -> [m, 2]."""
    if len(points) <= POINTS:
        return points
    return np.array([block.mean(axis=0) for block in np.array_split(points, POINTS)])


def _example(example: Example) -> str:
    """Make the pictures and the player of one recording."""
    label, rate = example["id"], example["sample_rate"]
    waves = {name: np.asarray(samples, np.float64) for name, samples in example["waves"].items()}
    shown = listen.pictures(label, waves, rate)
    gain = fitting_gain(*waves.values())  # one for all versions, so that their loudness stays comparable
    versions = []
    for name, samples in waves.items():
        versions.append(listen.Version(name, _wav(samples * gain, rate), shown[name]))
    return f'<h3>{escape(label)}</h3>\n<p class="note">{listen.note(gain)}</p>\n{listen.player(label, versions)}'


def _wav(samples: np.ndarray, sample_rate: int) -> str:
    """Encode samples [T] within [-1, 1] as a 16-bit WAV file in a data address. Every browser plays WAV."""
    form = WavFormat(sample_rate, 1, "s16le")
    data = encode(samples[None], form.encoding)
    return "data:audio/wav;base64," + base64.b64encode(header(form, len(data)) + data).decode("ascii")
