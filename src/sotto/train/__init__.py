"""Training: one loop, its objective, its log and its state on disk. Nobody here has heard of decibels."""

from __future__ import annotations

from sotto.train.log import read_log
from sotto.train.loop import Trainer
from sotto.train.objective import Objective
from sotto.train.outcome import Outcome
from sotto.train.settings import Settings
from sotto.train.stages import Stage
from sotto.train.weights import Balance, Ramp, Weight, weight_of

__all__ = [
    "Balance",
    "Objective",
    "Outcome",
    "Ramp",
    "Settings",
    "Stage",
    "Trainer",
    "Weight",
    "read_log",
    "weight_of",
]
