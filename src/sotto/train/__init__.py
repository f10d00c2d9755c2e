"""Training: one loop, its objective, its log and its state on disk. Nobody here has heard of decibels."""

from __future__ import annotations

from sotto.train.log import read_log
from sotto.train.loop import Outcome, Trainer
from sotto.train.objective import Objective
from sotto.train.settings import Settings

__all__ = ["Objective", "Outcome", "Settings", "Trainer", "read_log"]
