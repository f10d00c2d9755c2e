"""Draw the two pictures of docs/results.md from the tables of benchmarks/results.

    python benchmarks/pictures.py docs

``quality-cost.svg``: what networks score, over the share of a processor core that they take, from published.md.
``teacher-lead.svg``: what a student gained from its teacher, over how far the teacher was ahead of it, from gains.csv.

gains.csv holds means over seeds from first-studies.md, ahead.md (the three fresh seeds), cosine.md, least.md and
mvat.md, and students of label-free.md; the one "alone" had clean speech.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sordino.files import write_text
from sordino.report.pages.drawing import COLOURS, standalone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
OURS, OTHERS = COLOURS[0], COLOURS[1]
VB, DNS, SPEED = "## VoiceBank-DEMAND", "## DNS 2020", "## Speed"
PANELS = (
    (VB, "SI-SDR (dB)", "VoiceBank-DEMAND: SI-SDR (dB)"),
    (VB, "COVL", "VoiceBank-DEMAND: COVL"),
    (DNS, "PESQ", "DNS: PESQ"),
)
SHARES, MIDDLE = (0.002, 0.005, 0.01, 0.02, 0.05), 0.012
TRAINED_THERE = "FastEnhancer"
"""Networks trained on the training half of VoiceBank-DEMAND: drawn hollow on it."""
MARKERS = "o^s"
"""Shapes of points: the next one when all colours are taken."""

Row = dict[str, str]


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the pictures")
    out = parser.parse_args().out
    text = (RESULTS / "published.md").read_text("utf-8")
    with (RESULTS / "gains.csv").open(encoding="utf-8", newline="") as file:
        gains = list(csv.DictReader(file))
    pictures: dict[str, tuple[Callable[[Figure], None], str, tuple[float, float]]] = {
        "quality-cost.svg": (lambda figure: draw_quality(figure, text), "Quality over cost", (9.5, 4.4)),
        "teacher-lead.svg": (lambda figure: draw_gains(figure, gains), "Gain over the teacher's lead", (8.0, 3.6)),
    }
    for name, (draw, title, inches) in pictures.items():
        write_text(out / name, standalone(draw, title, inches))


def rows(text: str, heading: str) -> list[Row]:
    """Return the rows of the first Markdown table below a heading."""
    lines = iter(text[text.index(heading) :].splitlines())
    table: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            table.append([cell.strip().strip("*") for cell in line.strip().strip("|").split("|")])
        elif table:
            break
    head, _, *body = table
    return [dict(zip(head, cells, strict=True)) for cells in body]


def draw_quality(figure: Figure, text: str) -> None:
    """One panel for each measure: networks by the share of a core that they take, and a line for the noisy input."""
    (speed,) = rows(text, SPEED)
    for axis, (heading, column, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for row in rows(text, heading):
            name, value = row["Model"].partition(",")[0], float(row[column])
            if name == "noisy":
                axis.axhline(value, color="grey", linestyle=":")
                axis.text(0.075, value, "noisy input", ha="right", va="bottom", fontsize=7)
            elif name in speed:
                hollow = name.startswith(TRAINED_THERE) and heading == VB
                _point(axis, float(speed[name]), value, name, hollow)
        axis.set_xscale("log")
        axis.set_xlim(0.0014, 0.08)
        axis.set_xticks(SHARES, [f"{share:g}" for share in SHARES])
        axis.set_xticks([], minor=True)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("share of one core")
        axis.margins(y=0.08)


def _point(axis: Axes, x: float, y: float, name: str, hollow: bool) -> None:
    shipped = name.startswith(("dualpath", "unet"))
    colour = OURS if shipped else OTHERS
    axis.plot(x, y, "o", color=colour, markerfacecolor="white" if hollow else colour)
    weight = "bold" if shipped else "normal"
    # Beside the point, on the side where there is room.
    shift, side = (5, "left") if x < MIDDLE else (-5, "right")
    place = (shift, 0)
    axis.annotate(name, (x, y), place, textcoords="offset points", ha=side, va="center", fontsize=7, weight=weight)


def draw_gains(figure: Figure, gains: list[Row]) -> None:
    """A panel for PESQ and one for SI-SDR: each point is a teacher, its student and a test set."""
    for axis, measure in zip(figure.subplots(1, 2), ("PESQ", "SI-SDR (dB)"), strict=True):
        axis.axhline(0, color="grey", linewidth=0.8)
        axis.axvline(0, color="grey", linewidth=0.8)
        for index, pair in enumerate(dict.fromkeys(row["pair"] for row in gains)):
            points = [row for row in gains if row["pair"] == pair and row["measure"] == measure]
            leads = [float(row["teacher"]) - float(row["alone"]) for row in points]
            gained = [float(row["taught"]) - float(row["alone"]) for row in points]
            turn, colour = divmod(index, len(COLOURS))
            axis.plot(leads, gained, MARKERS[turn], color=COLOURS[colour], label=pair)
            for row, lead, gain in zip(points, leads, gained, strict=True):
                axis.annotate(row["test"], (lead, gain), xytext=(4, 4), textcoords="offset points", fontsize=7)
        axis.set_title(measure, fontsize=9)
        axis.set_xlabel("teacher above the student that learned alone")
        axis.set_ylabel("taught student above it")
        axis.margins(0.15)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=7, loc="outside lower center", ncols=2)


if __name__ == "__main__":
    main()
