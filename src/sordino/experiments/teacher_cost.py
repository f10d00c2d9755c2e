"""Cost of an epoch with a teacher, live and from a cache, timed on one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sordino.distill.teachers import CachedTeacher
from sordino.errors import duration
from sordino.evaluation.speed import timed
from sordino.training import Trainer

PASSES = 2


@dataclass(frozen=True)
class TeacherCost:
    """Seconds that the teacher takes for each segment of an epoch."""

    segments: int
    """Of an epoch."""
    live_s: float
    """Seconds for a segment, computed."""
    cached_s: float | None
    """Seconds for a segment, read from a cache; None for a teacher that cannot have one."""

    def describe(self) -> str:
        """Return the cost of an epoch in words."""
        live = duration(self.live_s * self.segments)
        found = f"teacher: {duration(self.live_s)} for a segment; an epoch of {self.segments:,} costs {live} live"
        if self.cached_s is None:
            return found
        return f"{found}, {duration(self.cached_s * self.segments)} once its answers are cached"


def teacher_cost(trainer: Trainer, folder: Path | None) -> TeacherCost | None:
    """Time the teacher of a run on its first batch; None if no method needs one.

    Args:
        trainer: checked, so that its methods are ready and its teacher has answered once.
        folder: an empty one, for a cache of a few answers; None for a teacher that cannot have a cache.
    """
    objective = trainer.objective
    teacher = objective.teacher.loaded if isinstance(objective.teacher, CachedTeacher) else objective.teacher
    methods = list(objective.active.values())
    if teacher is None or not methods:
        return None
    batch, taps = trainer.first_batch(), {tap for method in methods for tap in method.teacher_taps}
    items = len(batch.noisy)
    live = _fastest(lambda: teacher(batch, taps))
    if folder is None:
        return TeacherCost(len(trainer.segments), live / items, None)
    cached = CachedTeacher(lambda: teacher, folder, {})
    cached.keep(methods, batch)
    cached(batch, taps)
    return TeacherCost(len(trainer.segments), live / items, _fastest(lambda: cached(batch, taps)) / items)


def _fastest(work: Callable[[], object]) -> float:
    return min(timed(work) for _ in range(PASSES))
