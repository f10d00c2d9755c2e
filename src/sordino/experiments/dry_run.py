"""A dry run: every part of a run, once and on a small scale, and what the run would cost; no files remain."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from sordino import models
from sordino.distributed import broadcast, rank
from sordino.experiments.build import build_trainer
from sordino.experiments.recipe import Recipe, RecipeLike, read
from sordino.experiments.teacher import cache_plan, has_all_answers
from sordino.experiments.teacher_cost import teacher_cost
from sordino.experiments.teacher_remarks import idle, notes
from sordino.training import Trainer
from sordino.training.checks import pulls
from sordino.types import Status

STEPS = 3
"""That are tried of each stage."""
CACHE_HINT = "teacher.cache=FOLDER keeps the teacher's answers for later epochs (docs/cache.md)"


@dataclass(frozen=True)
class DryRun:
    """Result of a dry run."""

    terms: dict[str, float]
    """Unweighted terms at the start, by name."""
    pulls: dict[str, float]
    """Methods' terms -> weighted gradient over that of the loss, at the start; see ``sordino.training.pulls``."""
    parameters: int
    """Of the student."""
    learnt: int
    """Parameters of the methods."""
    steps: int
    """That the run would take."""
    seconds_per_step: float
    """Of the last step that was tried in each stage, where no pull is measured; their mean."""
    cache: str
    """What the teacher's cache would take, in words; empty if there is none."""
    teacher: tuple[str, ...] = ()
    """Lines on it: what networks of other projects were recognised as, and what an epoch costs with it."""
    hint: str = ""
    """What would make the run faster; empty if there is nothing."""


def dry_run(recipe: RecipeLike, overrides: Sequence[str] = (), status: Status = lambda _: None) -> DryRun:
    """Try a recipe without leaving files: the checks, then a few steps, one validation, one save and one resume.

    Args:
        recipe, overrides: as for ``sordino.experiments.run.train``.
        status: called with a line before each of its parts, by the first process.

    Raises:
        InputError: whatever would stop the run.
    """

    def tell(line: str) -> None:
        if rank() == 0:
            status(line)

    checked = read(recipe, overrides)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = build_trainer(checked, folder)
        cache = cache_plan(whole)
        if cache and not has_all_answers(whole):  # it was found to fit and stays as it is
            checked = read(checked, layers=[{"teacher": {"cache": str(folder / "cache")}}])
            whole = build_trainer(checked, folder)
        tell("checking the losses and methods on the first batch")
        terms = whole.check()
        if measured := _measured(whole):
            tell(f"measuring {measured}")
        can_cache = checked.teacher is None or checked.teacher.other_noise is None
        cost = teacher_cost(whole, folder / "timed" if can_cache else None)
        connected = whole.objective.methods.values()
        messages = [*notes(whole.objective.teacher), *idle(checked, connected, whole.source.labels)]
        teacher = (*messages, *([cost.describe()] if cost else []))
        again = whole.steps > whole.batches.per_epoch  # with as many epochs that answers come a second time
        hint = CACHE_HINT if again and cost and cost.cached_s is not None and not cache else ""
        pulled = pulls(whole.objective, whole.student, whole.first_batch(), whole.steps - 1)
        short = _shortened(checked)
        tell("trying a few steps, a validation, a save and a resume")
        clock = _StepClock()
        build_trainer(short, folder).fit(progress=clock)
        build_trainer(short, folder).fit(resume=True)
    parameters, learnt = models.count_parameters(whole.student), models.count_parameters(whole.objective)
    return DryRun(terms, pulled, parameters, learnt, whole.steps, broadcast(clock.per_step), cache, teacher, hint)


class _StepClock:
    """A progress that notes when each step ends."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    def __call__(self, task: str, done: int, total: int, numbers: Mapping[str, float]) -> None:
        if task == "training":
            self._ends.append(time.perf_counter())

    def per_step(self) -> float:
        """Seconds of the last step of each stage, on average; pulls are measured in the steps before it."""
        last = range(STEPS - 1, len(self._ends), STEPS)
        return mean(self._ends[index] - self._ends[index - 1] for index in last)


def _measured(trainer: Trainer) -> str:
    """What is measured beside the terms, in words; empty where there is nothing to measure."""
    parts = []
    if trainer.objective.teacher is not None:
        parts.append("what the teacher costs")
    if trainer.objective.methods:
        parts.append("how hard methods pull")
    return " and ".join(parts)


def _shortened(recipe: Recipe) -> Recipe:
    """The recipe with as many stages, of a few steps each, whatever their length in the run."""
    count = max(len(recipe.stages), 1)
    stages = [{**stage, "epochs": None, "share": 1 / count} for stage in recipe.stated.get("stages", [])]
    if stages:
        stages[-1]["share"] = None
    steps = STEPS * count
    every = dict.fromkeys(("steps", "validate_every", "log_every", "save_every"), steps)
    return read(recipe, layers=[{"train": {**every, "validate_items": 1, "log": []}, "stages": stages}])
