"""Training: one loop, its objective, its log and its state on disk."""

from __future__ import annotations

from sordino.training.log import read_log
from sordino.training.loop import Trainer
from sordino.training.loss_weights import Balance, Ramp, Weight, weight_of
from sordino.training.objective import Objective
from sordino.training.outcome import Outcome
from sordino.training.settings import Settings
from sordino.training.stages import Stage

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
