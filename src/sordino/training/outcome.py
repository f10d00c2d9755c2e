"""What a run says of itself, on its way and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Progress = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps in all, the latest numbers)."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: steps done, the best validation with its step, and the checkpoint to use."""

    steps: int
    best_score: float | None
    """By ``train.select``; None of a run without validation recordings."""
    best_step: int | None
    checkpoint: Path
    seconds: float
    valid: dict[str, float] = field(default_factory=dict)
    """Every column of the best validation."""
