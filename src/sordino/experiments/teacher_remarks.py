"""What a run says of its teacher before it begins: what was recognised, and which settings do nothing."""

from __future__ import annotations

from collections.abc import Collection

from sordino.distill import teachers
from sordino.distill.base import Method
from sordino.experiments.recipe import Recipe


def notes(teacher: teachers.AnyTeacher | None) -> list[str]:
    """Return a line for each teacher from another project: the kind that was recognised, and its delay."""
    if isinstance(teacher, teachers.CachedTeacher):
        return notes(teacher.loaded)
    if isinstance(teacher, teachers.JointTeacher):
        return notes(teacher.features) + notes(teacher.estimate)
    if isinstance(teacher, teachers.SeveralTeachers):
        lines = []
        for member in teacher.members:
            lines += notes(member)
        return lines
    if isinstance(teacher, teachers.ExternalTeacher) and teacher.notes:
        return [teacher.notes]
    return []


def idle(recipe: Recipe, methods: Collection[Method], labels: str = "all") -> list[str]:
    """Return a line for teacher settings of a recipe that have no effect, as in the baselines of studies.

    Args:
        recipe: of a run.
        methods: of its objective, connected.
        labels: whether ``all``, ``some`` or ``none`` of its recordings have clean references.
    """
    if recipe.teacher is None:
        return []
    if not recipe.methods:
        return ["teacher: it teaches nothing, as the recipe has no section distill"]
    lines = []
    judged = labels == "all"  # otherwise the estimate takes the place of clean speech in validation
    if judged and recipe.teacher.estimate is not None and all(_reads_features_alone(method) for method in methods):
        lines.append("teacher.estimate: does nothing but take time, as no method reads an estimate")
    if recipe.teacher.other_noise is None:
        return lines
    reason = ""
    if recipe.train.batch_size == 1:
        reason = "a batch of one recording has no other noise"
    elif not any(method.teacher_taps for method in methods):
        reason = "no method reads features"
    elif labels == "none":
        reason = "the noise is known by clean speech alone"
    return [*lines, f"teacher.other_noise: does nothing, as {reason}"] if reason else lines


def _reads_features_alone(method: Method) -> bool:
    return bool(method.teacher_taps) and not method.needs_estimate
