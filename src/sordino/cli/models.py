"""``sordino models``: the students that ship, and the card of each."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from sordino.assets import DEFAULT_STUDENT, student_file
from sordino.cli.base import Answer, Command, flag
from sordino.errors import InputError, did_you_mean

SHOWN = ("pesq_wb", "stoi", "csig", "cbak", "covl", "si_sdr_db")
"""The metric columns of the list."""


def models(given: Namespace) -> Answer:
    from sordino.assets import shipped
    from sordino.evaluation.trained_on import card_notes
    from sordino.metrics import look_of
    from sordino.report.table import Table

    cards = shipped()
    if given.name is not None:
        if given.name not in cards:
            raise InputError(given.name, "does not ship", f"one of {', '.join(cards)}", did_you_mean(given.name, cards))
        return cards[given.name], _card(cards[given.name])
    rows: list[list[str]] = []
    noisy: dict[str, dict[str, float]] = {}
    for name, card in cards.items():
        latency = "whole file" if card["latency_s"] is None else f"{1000 * card['latency_s']:g} ms"
        size = [f"{card['parameters']:,}", f"{card['flops_paper'] / 1e9:.2f}", latency]
        rows.append([name, *size, *_figures(card["scores"]["model"])])
        noisy[card["scores"]["test"]] = card["scores"]["noisy"]
    rows += [["noisy input", "", "", "", *_figures(means)] for means in noisy.values()]
    notes = [f"{name}{' (default)' if card['default'] else ''}: {card['summary']}" for name, card in cards.items()]
    notes.append(f"Means over {' and '.join(noisy)}; GFLOPs on 4 s, as the MV-AT paper counts them.")
    labels = ["model", "parameters", "GFLOPs", "latency", *(look_of(column).label for column in SHOWN)]
    return cards, Table.of(labels, rows, [*notes, *card_notes(cards)]).to_text().rstrip()


def _figures(means: Mapping[str, float]) -> list[str]:
    from sordino.metrics import look_of

    figures = []
    for column in SHOWN:
        value, look = means.get(column), look_of(column)
        # In the unit of its label; with three digits, as students are closer to each other than other models are.
        figures.append("" if value is None else f"{value * look.scale:.3f}")
    return figures


def _card(card: Mapping[str, Any]) -> str:
    """The card of a student as text, without the recipe of its training."""
    from sordino.metrics import look_of

    text, _, _ = student_file(card["name"], ".md").read_text("utf-8").partition("```yaml")
    means, noisy = card["scores"]["model"], card["scores"]["noisy"]
    labels = {column: look_of(column).short_label for column in SHOWN}
    worse = [label for column, label in labels.items() if column in means and means[column] < noisy[column]]
    listed = ", ".join(worse) or f"none of {', '.join(labels.values())}"
    note = f"Worse than the noisy input on average: {listed}."
    return f"{text.rstrip()}\n\n{note}\nTo see the recipe: sordino models {card['name']} --json"


MODELS = Command(
    models,
    (flag("name", nargs="?", help="show the card of this student: data, licence, scores and weaknesses"),),
    "List the shipped students, the default first; or show the card of one.",
    lambda: f"examples:\n  sordino models\n  sordino models {DEFAULT_STUDENT}",
)
