"""Stages of a run: parts that weigh the terms differently and may begin with a new optimiser.

Two-step distillation (features first, then clean speech alone) and FitNets' hints-first are recipes with two stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sordino.errors import InputError
from sordino.training.term_weights import Weight


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Args:
        share: its length as a share of the run's steps; or
        epochs: its length in epochs. The last stage has neither and takes the rest.
        weights: what this stage changes in the recipe's weights; a term that weighs 0 is not computed.
        reset: start with a new optimiser and learning-rate schedule, which span this stage and those after it that do
            not reset.
    """

    share: float | None = None
    epochs: int | None = None
    weights: Mapping[str, Weight] = field(default_factory=dict)
    reset: bool = False


class StageRange(NamedTuple):
    """A stage in steps, from ``start`` to before ``stop``."""

    start: int
    stop: int
    reset: bool


def stage_ranges(stages: Sequence[Stage], steps: int, per_epoch: int) -> list[StageRange]:
    """Return where the stages of a run of ``steps`` begin and end; a run without stages is a single one.

    Raises:
        InputError: a length that is missing, given twice or out of range, or stages that leave nothing for the last.
    """
    starts = [0]
    for index, stage in enumerate(stages[:-1]):
        length = _length(f"stages.{index}", stage, steps, per_epoch)
        starts.append(starts[-1] + max(length, 1))
    if stages and (stages[-1].share is not None or stages[-1].epochs is not None):
        raise InputError(f"stages.{len(stages) - 1}", "has a length", "none for the last stage, which takes the rest")
    if starts[-1] >= steps:
        raise InputError("stages", f"the last begins at step {starts[-1]} of {steps}", "shorter stages or more steps")
    stops = [*starts[1:], steps]
    resets = [stage.reset for stage in stages] or [False]
    return list(map(StageRange, starts, stops, resets))


def _length(where: str, stage: Stage, steps: int, per_epoch: int) -> int:
    """Return the length of a stage in steps."""
    if (stage.share is None) == (stage.epochs is None):
        raise InputError(where, "needs share or epochs, and not both", "a length for all but the last")
    if stage.share is not None:
        if not 0 < stage.share < 1:
            raise InputError(f"{where}.share", str(stage.share), "between 0 and 1")
        return round(stage.share * steps)
    epochs = stage.epochs or 0
    if epochs < 1:
        raise InputError(f"{where}.epochs", str(epochs), "at least 1")
    return epochs * per_epoch


def stage_index(plan: Sequence[StageRange], step: int) -> int:
    """Return the index of the stage that ``step``, counted from 0, belongs to; beyond the end, that of the last."""
    begun = [index for index, stage in enumerate(plan) if stage.start <= step]
    return max(begun, default=0)


def optimizer_range(plan: Sequence[StageRange], step: int) -> tuple[int, int]:
    """Return the steps that the optimiser of ``step`` spans: from the last reset to before the next one."""
    first = here = stage_index(plan, step)
    while first > 0 and not plan[first].reset:
        first -= 1
    last = here
    while last + 1 < len(plan) and not plan[last + 1].reset:
        last += 1
    return plan[first].start, plan[last].stop
