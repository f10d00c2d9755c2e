"""Which of a run's checkpoints is the best: one measure of the validation recordings, or a weighted sum of several.

No measure alone will do. A network that is trained for PESQ can be had with a high PESQ and a poor waveform, and one
that is chosen by PESQ is chosen for that (``docs/training.md`` has figures). The default adds three measures that
go wrong in different ways, PESQ of quality, ESTOI of intelligibility and SI-SDR of the waveform, so that none may be
bought at any price in the others: 0.1 of PESQ counts like 2 points of ESTOI in per cent and like 2 dB of SI-SDR.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import NamedTuple

from sordino.errors import InputError
from sordino.metrics import COLUMNS, METRICS

DEFAULT: dict[str, float] = {"pesq_wb": 1.0, "estoi": 5.0, "si_sdr_db": 0.05}
"""Column to weight, where a recipe does not say."""
ALWAYS = ("pesq_wb", "estoi", "si_sdr_db", "correlation")
"""Metrics that every validation measures, whatever chooses: logs of all runs have them, and polarity needs the last."""


class Best(NamedTuple):
    """The best checkpoint of a run so far."""

    score: float
    """By what it was chosen."""
    step: int
    scores: dict[str, float]
    """Every column of its validation."""


class Selection:
    """Chooses among validations.

    Args:
        given: ``train.select`` of a recipe: a column, or weights of several; None is the default. A weight says how
            much a figure counts in the direction in which it is better; one of 0 takes its column out.

    Raises:
        InputError: a name that is no column, a weight below 0, or nothing to choose by.
    """

    def __init__(self, given: str | Mapping[str, float] | None = None) -> None:
        weights = DEFAULT if given is None else {given: 1.0} if isinstance(given, str) else given
        for name, weight in weights.items():
            if name not in COLUMNS:
                near = difflib.get_close_matches(name, COLUMNS, n=1)
                do = f"did you mean {near[0]}?" if near else ""
                raise InputError(f"train.select.{name}", "no measure has this name", f"one of {', '.join(COLUMNS)}", do)
            if not 0 <= weight < math.inf:
                do = "a measure that is better when lower is subtracted as it is"
                raise InputError(f"train.select.{name}", str(weight), "a weight of 0 or more", do)
        self.weights = {name: float(weight) for name, weight in weights.items() if weight}
        if not self.weights:
            raise InputError("train.select", "nothing to choose by", "a measure, or weights of several")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics to measure at a validation: those that choose, and those that are always logged."""
        owners = (metric for metric, line in METRICS.items() if self.weights.keys() & line.columns.keys())
        return tuple(dict.fromkeys([*ALWAYS, *owners]))

    def missing(self, means: Mapping[str, float]) -> list[str]:
        """The columns that choose and have no value, or none that is finite, in ``means``."""
        return [name for name in self.weights if not math.isfinite(means.get(name, math.nan))]

    def score(self, means: Mapping[str, float]) -> float:
        """The weighted sum of ``means``, by column, none of which is ``missing``."""
        signs = {name: 1.0 if COLUMNS[name].higher_is_better else -1.0 for name in self.weights}
        return sum(weight * signs[name] * means[name] for name, weight in self.weights.items())
