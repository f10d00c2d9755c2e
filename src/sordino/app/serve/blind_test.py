"""A blind listening test: which letter stands for which model, which was preferred, and the tally of votes.

Until the tally, nothing on the page shows which model has which letter. Each round draws new letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from sordino.app.serve.models import ServedModel
from sordino.errors import InputError
from sordino.metrics import DEFAULT, columns, look_of
from sordino.report.columns import SHOWN as KNOWN
from sordino.report.columns import SIZES, figure_cell
from sordino.report.table import Cell, Table

MOST = 4
LETTERS = "ABCD"
SHOWN = [column for column in KNOWN if column in columns(DEFAULT)]
NEITHER = "no preference"


@dataclass(frozen=True)
class BlindTest:
    """The rounds and votes of one visitor so far; every step returns a new value."""

    letters: Mapping[str, str] = field(default_factory=dict)
    """Letter to model in the current round; empty after its vote, and before the first round."""
    votes: tuple[str, ...] = ()
    """The model that was preferred in each round, or ``NEITHER``."""
    compared: tuple[tuple[str, ...], ...] = ()
    """The models of each round with a vote."""
    measured: tuple[Mapping[str, Any], ...] = ()
    """Rows of scores of the rounds with a vote and a clean reference; the ``id`` of each is a model's name."""
    waiting: tuple[Mapping[str, Any], ...] = ()
    """Those of the current round, which count with its vote."""

    def begin(self, names: Sequence[str], generator: np.random.Generator) -> BlindTest:
        """Begin a round with these models, hidden behind newly drawn letters."""
        drawn = [names[place] for place in generator.permutation(len(names))]
        return replace(self, letters=dict(zip(LETTERS, drawn, strict=False)), waiting=())

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
        compared = (*self.compared, tuple(self.letters.values()))
        measured = (*self.measured, *self.waiting)
        return replace(self, letters={}, votes=(*self.votes, choice), compared=compared, measured=measured, waiting=())

    def measure(self, rows: Sequence[Mapping[str, Any]]) -> BlindTest:
        """Keep the scores of a round: of the current one until its vote, as a round without a vote does not count."""
        if self.letters:
            return replace(self, waiting=tuple(rows))
        return replace(self, measured=(*self.measured, *rows))


def tally(blind_test: BlindTest, models: Mapping[str, ServedModel]) -> str:
    """Make an HTML table of the votes, with size and scores of each model.

    The scores are those measured in this test if there was a clean reference, and those of the models' cards otherwise.

    Raises:
        InputError: there are no votes.
    """
    if not blind_test.votes:
        raise InputError("tally", "there are no votes yet", hint="compare blind, listen, and vote first")
    names = list(dict.fromkeys(chain.from_iterable(blind_test.compared)))
    names.sort(key=blind_test.votes.count, reverse=True)
    measured = _means(blind_test.measured)
    scores = measured or {name: models[name].scores for name in names}
    scored = set(chain.from_iterable(scores.values()))
    shown = [column for column in SHOWN if column in scored]
    heads = {"model": "Model", "preferred": "Preferred", "params": SIZES["params"].label}
    heads |= {column: look_of(column).label for column in shown}
    rows = []
    for name in names:
        rounds = sum(name in compared for compared in blind_test.compared)
        row = {"model": Cell(name), "preferred": Cell(f"{blind_test.votes.count(name)} of {rounds}")}
        row["params"] = figure_cell(SIZES["params"], models[name].parameters)
        rows.append(row | _figures(scores.get(name, {}), shown))
    notes = [f"Votes: {len(blind_test.votes)}, of them {blind_test.votes.count(NEITHER)} without preference."]
    last_round = zip(LETTERS, blind_test.compared[-1], strict=False)
    letters = ", ".join(f"{letter} was {name}" for letter, name in last_round)
    notes.append(f"In the last round {letters}.")
    if shown and measured:
        notes.append("Scores: means over the recordings of this test.")
    elif shown:
        tests = dict.fromkeys(models[name].test for name in names if models[name].test)
        notes.append(f"Scores: from the cards, on {' / '.join(tests)}.")
    return Table(heads, rows, notes, name="Tally of the listening test", complete=True).to_html()


def scores_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Make an HTML table of the scores of one recording, a row for each version of it."""
    cells = [{"id": Cell(row["id"]), **_figures(row, SHOWN)} for row in rows]
    heads = {"id": "Version"} | {column: look_of(column).label for column in SHOWN}
    return Table(heads, cells, name="Scores", complete=True).to_html()


def _figures(means: Mapping[str, float], columns: Sequence[str]) -> dict[str, Cell]:
    return {column: figure_cell(look_of(column), means.get(column)) for column in columns}


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Average the rows of each model column by column; a column without a value in any row is left out."""
    by_model: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["id"], []).append(row)
    means: dict[str, dict[str, float]] = {}
    for name, own in by_model.items():
        means[name] = {}
        for column in SHOWN:
            values = [row[column] for row in own if column in row]
            if values:
                means[name][column] = float(np.mean(values))
    return means
