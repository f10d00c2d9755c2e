"""The result of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """Result of a run: the steps taken, the best validation with its step, and the checkpoint to use."""

    steps: int
    best_score: float | None
    """The best score by ``train.select``; None for a run without validation recordings."""
    best_step: int | None
    checkpoint: Path
    seconds: float
    valid: dict[str, float] = field(default_factory=dict)
    """Means of all columns at the best validation."""
