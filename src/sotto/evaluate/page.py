"""One HTML page of results: the table, learning curves, and examples to look at and to listen to.

The file holds everything (figures as SVG, sound as 16-bit WAV), asks nothing of the network, and follows the reader's
light or dark scheme and the width of the screen.
"""

from __future__ import annotations

import base64
import io
import itertools
import math
import re
import wave
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from sotto.errors import InputError
from sotto.evaluate.paper import PaperRow
from sotto.evaluate.report import SYNTHETIC, Result, cells, notes
from sotto.files import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"  # stands for "the colour of the text around" until the SVG is written
COLOURS = ("#3b82f6", "#e8590c", "#2f9e44", "#c026d3", "#b08900", "#0e9aa7")  # legible on white and on near-black
DASHES = ("-", "--", "-.", ":")  # so that runs are not told apart by colour alone
DRAWN = ("total", "loss", "kd", "valid")  # what a training log is drawn of: ``kd/mvat`` but not ``lr``
POINTS = 400  # of a curve, at most; longer logs are averaged in blocks
RANGE_DB = 80
WINDOW = 512

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1f24; --faint: #59616d; --line: #d4dae2; --tint: #f4f6f9;
  --warn: #fff1cf; --warn-ink: #613e00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e6e9ee; --faint: #a2abb8; --line: #333a44; --tint: #1c2026;
    --warn: #45330a; --warn-ink: #ffe2a3; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; }
h1, h2, h3 { overflow-wrap: anywhere; }
.banner { background: var(--warn); color: var(--warn-ink); padding: .75rem 1rem; border-radius: .4rem; }
.note, small { color: var(--faint); font-size: .85rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .75rem; text-align: right; border-top: 1px solid var(--line); vertical-align: top; }
td small { display: block; white-space: nowrap; font-size: .75rem; }
th:first-child { position: sticky; left: 0; text-align: left; background: var(--tint); min-width: 8rem; }
thead th { background: var(--tint); vertical-align: bottom; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
figure { margin: 0; padding: .6rem; border: 1px solid var(--line); border-radius: .4rem; min-width: 0; }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; stroke-linejoin: round; stroke-linecap: butt; }
audio { display: block; width: 100%; margin-top: .4rem; }
"""

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
    results: Sequence[Result],
    curves: Curves | None = None,
    examples: Sequence[Example] = (),
    synthetic: bool = False,
    paper: Sequence[PaperRow] = (),
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        title: its heading.
        results: the table's rows.
        curves: run name to its log, one mapping per entry: ``step`` and figures such as ``total``, ``loss/weighted``,
            ``kd/mvat`` or ``valid/pesq_wb``, which are drawn, one picture each; others are passed over.
        examples: recordings to show and play.
        synthetic: whether the data is; a banner says so. Results that say it of themselves suffice.
        paper: rows of ``paper.results(...)``, to stand beside ours.

    Raises:
        InputError: there are no results, an example has no sound, or the file cannot be written.
    """
    banner = f'<p class="banner" role="note">{SYNTHETIC}</p>' if synthetic or any(r.synthetic for r in results) else ""
    sections = [
        _section("Results", _table(results, paper)),
        _section("Learning curves", _grid(_curves(curves or {}))),
        _section("Examples", "\n".join(map(_example, examples))),
    ]
    body = "\n".join(part for part in (f"<h1>{escape(title)}</h1>", banner, *sections) if part)
    write_text(path, _PAGE.format(title=escape(title), style=_STYLE, body=_unique_names(body)))


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>" if content else ""


def _grid(figures: Sequence[str]) -> str:
    return '<div class="grid">\n' + "\n".join(figures) + "\n</div>" if figures else ""


def _table(results: Sequence[Result], paper: Sequence[PaperRow]) -> str:
    header, rows = cells(results, paper)
    lines = ["<tr>" + "".join(f'<th scope="col">{escape(name)}</th>' for name in header) + "</tr>"]
    for first, *rest in rows:
        figures = "".join(
            f"<td>{escape(cell.text)}{f'<small>{escape(cell.interval)}</small>' if cell.interval else ''}</td>"
            for cell in rest
        )
        lines.append(f'<tr><th scope="row">{escape(first.text)}</th>{figures}</tr>')
    whole = f"<table>\n<thead>{lines[0]}</thead>\n<tbody>\n" + "\n".join(lines[1:]) + "\n</tbody>\n</table>"
    told = ["Means over files, and below each its 95 % bootstrap interval where there is one."]
    told += [note for note in notes(results, paper) if note != SYNTHETIC]  # the banner says that
    around = "".join(f'<p class="note">{escape(note)}</p>\n' for note in told)
    return f'{around}<div class="scroll" role="region" aria-label="Table of results" tabindex="0">\n{whole}\n</div>'


def _curves(curves: Curves) -> list[str]:
    """One figure per quantity, with one line per run."""
    entries = [entry for log in curves.values() for entry in log]
    logged = dict.fromkeys(name for entry in entries for name in entry if _logged(entry, name))
    return [_curve(name, curves) for name in logged if name.partition("/")[0] in DRAWN]


def _logged(entry: Mapping[str, Any], name: str) -> bool:
    return isinstance(entry.get(name), int | float)


def _curve(name: str, curves: Curves) -> str:
    def draw(axes: Axes) -> None:
        for index, (run, log) in enumerate(curves.items()):
            points = [(entry["step"], entry[name]) for entry in log if _logged(entry, name)]
            if points:
                steps, figures = _thinned(np.array(points, float)).T
                marker = "." if len(steps) < 30 else ""
                colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
                axes.plot(steps, figures, label=run, color=colour, linestyle=dash, marker=marker)
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)

    label = f"{name} over training steps of {', '.join(curves)}"
    return f"<figure>\n<figcaption>{escape(name)}</figcaption>\n{_svg(draw, label, (4.2, 2.8))}\n</figure>"


def _thinned(points: np.ndarray) -> np.ndarray:
    """Average neighbouring points so that no more than ``POINTS`` remain: [n, 2] -> [m, 2]."""
    if len(points) <= POINTS:
        return points
    return np.array([block.mean(axis=0) for block in np.array_split(points, POINTS)])


def _example(example: Example) -> str:
    """The spectrograms of one recording, all on the scale of the loudest, each above its player."""
    waves = {name: np.asarray(samples, np.float64) for name, samples in example["waves"].items()}
    if not waves or not all(samples.ndim == 1 and samples.size for samples in waves.values()):
        raise InputError(f"example {example['id']}", "has no sound", "arrays of shape [T], noisy and clean and others")
    rate, peak = example["sample_rate"], max(np.abs(samples).max() for samples in waves.values())
    gain = min(1.0, 1 / peak) if peak else 1.0
    spectrograms = {name: _spectrogram_db(samples) for name, samples in waves.items()}
    top = max(float(levels.max()) for levels in spectrograms.values())
    cards = []
    for name, samples in waves.items():
        label = f"{example['id']}, {name}"
        picture = _picture(spectrograms[name], len(samples) / rate, rate, top, f"Spectrogram of {label}")
        address = _wav(samples * gain, rate)
        sound = f'<audio controls preload="metadata" aria-label="{escape(label)}" src="{address}"></audio>'
        cards.append(f"<figure>\n<figcaption>{escape(name)}</figcaption>\n{picture}\n{sound}\n</figure>")
    note = f"Frequency in kHz over time in s; the colours span {RANGE_DB} dB, the same in all pictures."
    if gain < 1:
        note += f" All players are turned down by {-20 * math.log10(gain):.1f} dB to avoid clipping."
    return f'<h3>{escape(example["id"])}</h3>\n<p class="note">{note}</p>\n{_grid(cards)}'


def _spectrogram_db(samples: np.ndarray) -> np.ndarray:
    """Power in dB, [T] -> [257, N], with no more than about 400 frames."""
    hop = max(WINDOW // 4, len(samples) // POINTS)
    padded = np.pad(samples, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop] * np.hanning(WINDOW)
    return 10 * np.log10(np.abs(np.fft.rfft(frames)).T ** 2 + 1e-12)


def _picture(levels: np.ndarray, seconds: float, sample_rate: int, top: float, label: str) -> str:
    def draw(axes: Axes) -> None:
        extent = (0, seconds, 0, sample_rate / 2000)
        axes.imshow(levels, "magma", origin="lower", aspect="auto", extent=extent, vmin=top - RANGE_DB, vmax=top)

    return _svg(draw, label, (4.2, 2.1))


def _svg(draw: Callable[[Axes], None], label: str, inches: tuple[float, float]) -> str:
    """Draw one figure as an SVG element that takes its ink from the text around it and its width from the page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "sotto", "font.size": 9, **dict.fromkeys(inked, INK)}):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", out.getvalue(), flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', text)
    content = text[text.index(">", text.index("<svg")) + 1 :].replace(INK, "currentColor")
    return f'<svg role="img" aria-label="{escape(label)}" {box.group() if box else ""}>{content.rstrip()}'


def _unique_names(body: str) -> str:
    """Number the names inside each figure: all figures name their parts alike, and on a page each name is unique."""
    numbers = itertools.count(1)

    def number(figure: re.Match[str]) -> str:
        return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>f{next(numbers)}-", figure.group())

    return re.sub(r"<svg .*?</svg>", number, body, flags=re.DOTALL)


def _wav(samples: np.ndarray, sample_rate: int) -> str:
    """A 16-bit WAV file as a data address. WAV, because every browser plays it; the samples fit in [-1, 1]."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(out.getvalue()).decode("ascii")
