"""Stages of a run: parts that weigh the terms differently and may start the optimiser anew.

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
        share: of the run's steps; or
        epochs: of data. The last stage has neither and takes the rest.
        weights: what this stage changes in the recipe's weights; a term that weighs 0 is not computed.
        reset: start the optimiser and the learning-rate schedule anew, which then span this stage and those after it
            that do not reset.
    """

    share: float | None = None
    epochs: int | None = None
    weights: Mapping[str, Weight] = field(default_factory=dict)
    reset: bool = False


class Leg(NamedTuple):
    """A stage in steps, from ``start`` to before ``stop``."""

    start: int
    stop: int
    reset: bool


def stage_ranges(stages: Sequence[Stage], steps: int, per_epoch: int) -> list[Leg]:
    """Where the stages of a run of ``steps`` begin and end; a run without stages is one.

    Raises:
        InputError: a length that is missing, given twice or out of range, or stages that leave nothing for the last.
    """
    bounds = [0]
    for index, stage in enumerate(stages[:-1]):
        if (stage.share is None) == (stage.epochs is None):
            raise InputError(f"stages.{index}", "needs share or epochs, and not both", "a length for all but the last")
        if stage.share is not None and not 0 < stage.share < 1:
            raise InputError(f"stages.{index}.share", str(stage.share), "between 0 and 1")
        if stage.epochs is not None and stage.epochs < 1:
            raise InputError(f"stages.{index}.epochs", str(stage.epochs), "at least 1")
        length = round(stage.share * steps) if stage.share is not None else (stage.epochs or 0) * per_epoch
        bounds.append(bounds[-1] + max(length, 1))
    if stages and (stages[-1].share is not None or stages[-1].epochs is not None):
        raise InputError(f"stages.{len(stages) - 1}", "has a length", "none for the last stage, which takes the rest")
    if bounds[-1] >= steps:
        raise InputError("stages", f"the last begins at step {bounds[-1]} of {steps}", "shorter stages or more steps")
    resets = [stage.reset for stage in stages] or [False]
    return [Leg(*leg) for leg in zip(bounds, [*bounds[1:], steps], resets, strict=True)]


def range_at(plan: Sequence[Leg], step: int) -> int:
    """The index of the stage that step ``step``, counted from 0, belongs to; the last one's beyond the end."""
    return max(index for index, leg in enumerate(plan) if leg.start <= step or index == 0)


def stage_at(plan: Sequence[Leg], step: int) -> tuple[int, int]:
    """The steps that the optimiser of step ``step`` works: from the last reset to before the next one."""
    here = range_at(plan, step)
    first = max((index for index in range(here + 1) if plan[index].reset), default=0)
    last = next((index for index in range(here + 1, len(plan)) if plan[index].reset), len(plan)) - 1
    return plan[first].start, plan[last].stop
