"""Weights of terms in a recipe: a number, a ramp over steps, or a measured ratio of gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sordino.errors import InputError

EVERY = 25
"""Steps between two measurements of a term, by default, once the run is under way."""


@dataclass(frozen=True)
class Balance:
    """A weight found by measurement.

    Args:
        balance: r, the ratio of the weighted term's gradient to that of the supervised loss.
        every: steps between two measurements, fewer at first. Each takes about the time of a backward pass of the loss
            and of every method that is measured.
        until: the step of the run from which the weight stays as it is then. None keeps the ratio at r throughout.
    """

    balance: float
    every: int = EVERY
    until: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.balance < math.inf or self.every < 1:
            raise InputError("weights", f"balance {self.balance} every {self.every} steps", "both above 0")
        if self.until is not None and self.until < 1:
            raise InputError("weights", f"balance until step {self.until}", "at least 1")

    def settled(self, step: int) -> bool:
        """Whether the weight no longer follows the ratio at ``step``, counted from 0."""
        return self.until is not None and step >= self.until


@dataclass(frozen=True)
class Ramp:
    """A weight that moves from one value to another.

    Args:
        ramp: ``linear``, or ``cosine`` for half a period of it.
        steps: of the run, from its first, over which it moves.
        start: its value at first.
        end: its value from then on.
    """

    ramp: Literal["linear", "cosine"]
    steps: int
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError("weights", f"a ramp over {self.steps} steps", "at least 1")
        if not all(0 <= weight < math.inf for weight in (self.start, self.end)):
            raise InputError("weights", f"a ramp from {self.start} to {self.end}", "numbers of 0 or more")

    def at(self, step: int) -> float:
        """The weight at ``step``, counted from 0."""
        share = min(step / self.steps, 1.0)
        if self.ramp == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + (self.end - self.start) * share


Weight = float | Balance | Ramp
