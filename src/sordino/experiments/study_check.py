"""Check of a study before its runs begin: what each run would do, and why it would fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from sordino import models
from sordino.data.recordings import pair_files
from sordino.distill import teachers
from sordino.errors import InputError
from sordino.experiments.build import build_network, build_objective, training_source
from sordino.experiments.dry_run import DryRun, dry_run
from sordino.experiments.origins import demand_origins
from sordino.experiments.recipe import Recipe
from sordino.experiments.study_jobs import jobs_of, limited_threads, threads_of
from sordino.experiments.study_plan import Study, StudyRun
from sordino.experiments.study_state import demand_outcome, state_of
from sordino.experiments.teacher import check_cache
from sordino.experiments.teacher_kinds import TEACHERS
from sordino.experiments.teacher_section import TeacherSection
from sordino.report.study_cells import StudyCell
from sordino.types import Status


class Planned(NamedTuple):
    """One run of a study as it stands."""

    scenario: str
    method: str
    seed: int
    folder: str
    state: str
    """``done``, ``at step N`` of a run that was stopped, or ``to train``."""
    obstacle: str
    """Why it would fail; empty if nothing is known to stand in its way."""
    seconds_per_step: float | None = None
    """Of a run that was tried, by :func:`tried`; those of the method's other seeds take as long."""
    hours: float | None = None
    """That the whole run takes at this rate."""


def planned(study: Study, runs: Sequence[StudyRun]) -> list[Planned]:
    """Check every run of a study; nothing is trained or written.

    Raises:
        InputError: the study itself would be refused.
    """
    demand_outcome(study)
    hindered = obstacles(study, runs)
    plans = []
    for one, hindrance in zip(runs, hindered, strict=True):
        state, refusal = state_of(study, one)
        obstacle = refusal or ("" if state == "done" else hindrance)
        plans.append(Planned(*one.cell, one.seed, str(one.folder), state, obstacle))
    return plans


def tried(study: Study, runs: Sequence[StudyRun], plans: Sequence[Planned], status: Status) -> list[Planned]:
    """Try one run of every method in every scenario, as ``sordino train --dry-run`` does, unless it is known to fail.

    Args:
        study: determines with how many threads.
        runs: of the study.
        plans: the same runs as :func:`planned` returns them.
        status: called with a line before each part that takes long.

    Returns:
        The runs with the time that they take, or with what stopped the one that was tried.
    """
    outcomes: dict[StudyCell, DryRun | str] = {}
    threads = threads_of(jobs_of(study))
    for one, plan in zip(runs, plans, strict=True):
        if plan.state != "done" and not plan.obstacle and one.cell not in outcomes:
            with limited_threads(threads):  # anew for each, as a recipe may set others
                outcomes[one.cell] = _outcome(one, status)
    return [_with_outcome(plan, outcomes.get(one.cell)) for one, plan in zip(runs, plans, strict=True)]


def _outcome(one: StudyRun, status: Status) -> DryRun | str:
    """Return what a few steps of a run tell, or why there are none."""
    name = "/".join(one.cell)
    try:
        return dry_run(one.recipe, status=lambda line: status(f"{name}: {line}"))
    except InputError as error:
        return str(error)


def _with_outcome(plan: Planned, outcome: DryRun | str | None) -> Planned:
    if outcome is None or plan.state == "done" or plan.obstacle:
        return plan
    if isinstance(outcome, str):
        return plan._replace(obstacle=outcome)
    hours = outcome.seconds_per_step * outcome.steps / 3600
    return plan._replace(seconds_per_step=outcome.seconds_per_step, hours=hours)


def obstacles(study: Study, runs: Sequence[StudyRun]) -> list[str]:
    """Say for each run why it would fail: a missing checkpoint or graph, a network, loss or method that its arguments
    do not make, parts that do not fit together, or missing recordings to train or to be scored on; empty where nothing
    is known.

    What several runs share is looked at once for all of them.
    """
    known: dict[str, str] = {}

    def reason(attempt: Callable[[Recipe], object], recipe: Recipe, *shared: object) -> str:
        key = repr((attempt.__name__, *shared))
        if key not in known:
            known[key] = _reason(partial(attempt, recipe))
        return known[key]

    untested = _reason(partial(_open_tests, study))
    found = []
    for one in runs:
        recipe = one.recipe
        parts = recipe.model, recipe.data, recipe.teacher, recipe.losses, recipe.methods, recipe.weights, recipe.stages
        reasons = [
            reason(demand_origins, recipe, recipe.model, recipe.teacher),
            reason(_build_parts, recipe, *parts),
            reason(_open_data, recipe, recipe.data, recipe.unlabelled, recipe.teacher and recipe.teacher.variants),
            untested,
        ]
        stated = [one for one in reasons if one]
        found.append(stated[0] if stated else "")
    return found


def _build_parts(recipe: Recipe) -> None:
    """Put together the student and what it minimises."""
    student = build_network(recipe.model)
    build_objective(recipe, student, _stand_in(recipe.teacher, student.sample_rate))
    if recipe.methods:
        check_cache(recipe, student.sample_rate)


def _stand_in(section: TeacherSection | None, sample_rate: int) -> teachers.AnyTeacher | None:
    """A teacher with the name and the features of a section's. No model from elsewhere is opened, as it may be the
    user's code, and large."""
    if section is None:
        return None
    if section.checkpoint is not None:
        return teachers.Teacher(models.load(section.checkpoint))
    kind = next(kind for kind in TEACHERS if getattr(section, kind) is not None)
    return teachers.ExternalTeacher(np.copy, kind, sample_rate)


def _open_data(recipe: Recipe) -> None:
    source = training_source(recipe)
    source.train(0)
    source.test()  # on which every run is scored


def _open_tests(study: Study) -> None:
    for test in study.tests.values():
        if test.noisy is not None and test.clean is not None:
            pair_files(test.noisy, test.clean)


def _reason(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except InputError as error:
        return str(error)
    return ""
