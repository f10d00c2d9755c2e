"""What a run says of itself, on its way and at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


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
