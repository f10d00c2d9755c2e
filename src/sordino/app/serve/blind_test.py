"""A blind listening test: which letter stands for which model, what was preferred, and the tally.

Nothing that the page shows before the tally tells the letters' models apart. Each round draws new letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sordino.app.serve.models import Offer
from sordino.errors import InputError
from sordino.metrics import COLUMNS, DEFAULT, columns
from sordino.report.pages import parts
from sordino.report.runs import SHOWN as KNOWN
from sordino.report.runs import Cell

MOST = 4
LETTERS = "ABCD"
SHOWN = [column for column in KNOWN if column in columns(DEFAULT)]
NEITHER = "no preference"


@dataclass(frozen=True)
class BlindTest:
    """What one visitor has heard and said so far; every step gives a new one."""

    letters: Mapping[str, str] = field(default_factory=dict)
    """Letter to model, in the round at hand; empty when its vote is counted, or none has begun."""
    votes: tuple[str, ...] = ()
    """What was preferred, round by round: a model, or neither."""
    heard: tuple[tuple[str, ...], ...] = ()
    """The models of these rounds."""
    measured: tuple[Mapping[str, Any], ...] = ()
    """Rows of scores, of every round that had a clean reference."""

    def begin(self, names: Sequence[str], generator: np.random.Generator) -> BlindTest:
        """A round with these models, under letters drawn anew."""
        drawn = [names[place] for place in generator.permutation(len(names))]
        return replace(self, letters=dict(zip(LETTERS, drawn, strict=False)))

    def vote(self, letter: str | None) -> BlindTest:
        """Count a preference and end the round.

        Raises:
            InputError: no round has begun, or nothing was chosen.
        """
        if not self.letters:
            raise InputError("vote", "there is nothing to vote on", hint="press Compare first")
        if letter != NEITHER and letter not in self.letters:
            raise InputError("vote", "nothing is chosen", "one of " + ", ".join([*self.letters, NEITHER]))
        choice = self.letters.get(letter or "", NEITHER)
        heard = (*self.heard, tuple(self.letters.values()))
        return replace(self, letters={}, votes=(*self.votes, choice), heard=heard)

    def measure(self, rows: Sequence[Mapping[str, Any]]) -> BlindTest:
        """Keep the scores of a round, whose ids are the models' names."""
        return replace(self, measured=(*self.measured, *rows))


def tally(trial: BlindTest, offers: Mapping[str, Offer]) -> str:
    """The votes as a table, with size and scores of each model; those measured here where there was a reference.

    Raises:
        InputError: there are no votes.
    """
    if not trial.votes:
        raise InputError("tally", "there are no votes yet", hint="compare blind, listen, and vote first")
    names = list(dict.fromkeys(name for round_ in trial.heard for name in round_))
    names.sort(key=lambda name: -trial.votes.count(name))
    here = _means(trial.measured)
    scores = here or {name: offers[name].scores for name in names}
    shown = [column for column in SHOWN if any(column in found for found in scores.values())]
    rows = []
    for name in names:
        rounds = sum(name in round_ for round_ in trial.heard)
        size = offers[name].parameters
        cells = [name, f"{trial.votes.count(name)} of {rounds}", "–" if size is None else f"{size / 1e6:.2f}"]
        rows.append([*map(Cell, cells), *_figures(scores.get(name, {}), shown)])
    header = ["Model", "Preferred", "Params (M)", *(COLUMNS[column].label for column in shown)]
    last = ", ".join(f"{letter} was {name}" for letter, name in zip(LETTERS, trial.heard[-1], strict=False))
    notes = [f"Votes: {len(trial.votes)}, of them {trial.votes.count(NEITHER)} without preference."]
    notes.append(f"In the last round {last}.")
    tests = " / ".join(dict.fromkeys(offers[name].test for name in names if offers[name].test))
    notes.append("Scores: means over the recordings of this test." if here else f"Scores: from the cards, on {tests}.")
    return parts.table(header, {"": rows}, "Tally of the listening test", notes if shown else notes[:2])


def scores_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The scores of one recording, a row for each version of it."""
    header = ["Version", *(COLUMNS[column].label for column in SHOWN)]
    return parts.table(header, {"": [[Cell(row["id"]), *_figures(row, SHOWN)] for row in rows]}, "Scores")


def _figures(found: Mapping[str, float], columns: Sequence[str]) -> list[Cell]:
    return [Cell(COLUMNS[column].show(found.get(column))) for column in columns]


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each model over its rows, column by column, where there are figures."""
    means: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(row["id"] for row in rows):
        own = [row for row in rows if row["id"] == name]
        figures = {column: [row[column] for row in own if column in row] for column in SHOWN}
        means[name] = {column: float(np.mean(values)) for column, values in figures.items() if values}
    return means
