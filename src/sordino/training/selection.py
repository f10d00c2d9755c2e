"""Choice of a run's best checkpoint: by one measure on the validation recordings, or by a weighted sum of several.

One measure alone is not enough. A network that is trained on PESQ can have a high PESQ and a poor waveform, and a
choice by PESQ alone prefers such a network (``docs/checkpoints.md`` has figures). The default adds three measures that
fail in different ways: PESQ of quality, ESTOI of intelligibility and SI-SDR of the waveform. None can then rise at any
price in the others: 0.1 of PESQ counts like 2 points of ESTOI in per cent and like 2 dB of SI-SDR.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from sordino.errors import InputError, did_you_mean
from sordino.metrics import COLUMNS, METRICS, look_of, metric
from sordino.plugins.import_string import is_name

DEFAULT: dict[str, float] = {"pesq_wb": 1.0, "estoi": 5.0, "si_sdr_db": 0.05}
"""Default weights by column."""
ALWAYS = ("pesq_wb", "estoi", "si_sdr_db", "correlation")
"""Metrics that every validation computes, so that all logs have them; the check of polarity needs the last."""


class Best(NamedTuple):
    """The best checkpoint of a run so far."""

    score: float
    """The weighted sum by which it was chosen."""
    step: int
    scores: dict[str, float]
    """Means of all columns at its validation."""


class Selection:
    """Scores validations by weighted columns.

    Args:
        given: ``train.select`` of a recipe: a column, or weights of several; None is the default. A positive weight
            counts a column in the direction in which it is better, also where lower is better; 0 leaves it out.
        sample_rate: of the validation recordings, in Hz. Where wide-band PESQ is not defined, narrow-band PESQ takes
            its place in the default and in what is always computed.

    Raises:
        InputError: a name that is no column, a weight below 0, nothing to choose by, or a measure that is not defined
            at this sample rate.
    """

    def __init__(self, given: str | Mapping[str, float] | None = None, sample_rate: int = 16000) -> None:
        pesq = "pesq_wb" if METRICS["pesq_wb"].defined_at(sample_rate) else "pesq_nb"

        def at_rate(name: str) -> str:
            return pesq if name == "pesq_wb" else name

        self.always = [at_rate(name) for name in ALWAYS]
        if given is None:
            weights = {at_rate(name): weight for name, weight in DEFAULT.items()}
        elif isinstance(given, str):
            weights = {given: 1.0}
        else:
            weights = given
        for name, weight in weights.items():
            if name not in COLUMNS:
                _check_name(name)
            if not 0 <= weight < math.inf:
                hint = "a measure that is better when lower is subtracted anyway"
                raise InputError(f"train.select.{name}", str(weight), "a weight of 0 or more", hint)
        self.weights = {name: float(weight) for name, weight in weights.items() if weight}
        if not self.weights:
            raise InputError("train.select", "nothing to choose by", "a measure, or weights of several")
        for name in self.metrics:
            entry = metric(name)
            if not entry.defined_at(sample_rate):
                expected = f"a measure that is defined at {sample_rate} Hz, the network's rate"
                raise InputError("train.select", f"{name} is defined at {min(entry.rates)} Hz", expected)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics to compute at a validation: those that are always logged, and those that choose."""
        choosing = [name for name, entry in METRICS.items() if self.weights.keys() & entry.columns.keys()]
        own = [name for name in self.weights if name not in COLUMNS]
        return tuple(dict.fromkeys([*self.always, *choosing, *own]))

    def missing(self, means: Mapping[str, float]) -> list[str]:
        """Return the columns that choose and have no finite value in ``means``."""
        return [name for name in self.weights if not math.isfinite(means.get(name, math.nan))]

    def score(self, means: Mapping[str, float]) -> float:
        """Return the weighted sum of ``means``; no column may be ``missing``."""
        parts = []
        for name, weight in self.weights.items():
            sign = 1.0 if look_of(name).higher_is_better else -1.0
            parts.append(weight * sign * means[name])
        return sum(parts)


def _check_name(name: str) -> None:
    """Refuse a name that is neither a column nor that of a metric of the user's, which is imported."""
    try:
        metric(name)
    except InputError as error:
        if is_name(name):
            raise
        expected, hint = f"one of {', '.join(COLUMNS)}", did_you_mean(name, COLUMNS)
        raise InputError(f"train.select.{name}", "no measure has this name", expected, hint) from error
