"""The state of each run of a study, and problems of the study itself that would stop all runs."""

from __future__ import annotations

from pathlib import Path

from sordino.errors import InputError
from sordino.experiments.run_folder import can_resume, demand_folder, same_run
from sordino.experiments.study_plan import Study, StudyRun
from sordino.experiments.study_results import scored
from sordino.metrics import check
from sordino.report.pages.parts import check_page
from sordino.training.log import read_log
from sordino.training.state import LAST, STATE


def demand_outcome(study: Study) -> None:
    """Check what a study writes at its end, before any run begins.

    Raises:
        InputError: no such metric, or a ``study.html`` in its folder that sordino did not write.
    """
    check_page(Path(study.out) / "study.html")
    if study.metrics is not None:
        check(study.metrics)


def finished(study: Study, one: StudyRun) -> bool:
    """Whether the run has ended and has its scores; one of another recipe or teacher than the study's is refused.

    One that went on at another rate after it had diverged is the study's still.

    Raises:
        InputError: the run has another recipe, or another teacher.
    """
    own_test = next(iter(study.tests))  # the recipe's own goes first
    if not (one.folder / LAST).is_file() or scored(study, own_test, one.folder) is None:
        return False
    same_run(one.folder, one.recipe)
    return True


def state_of(study: Study, one: StudyRun) -> tuple[str, str]:
    """Return how far a run is, ``done``, ``at step N`` or ``to train``, and why it cannot go on; empty if it can."""
    state = "to train"
    try:
        if (one.folder / STATE).is_file():
            log = read_log(one.folder)
            state = f"at step {int(log[-1]['step']) if log else 0}"
        if finished(study, one):
            return "done", ""
        resume = can_resume(one.folder)
        demand_folder(same_run(one.folder, one.recipe) if resume else one.recipe, one.folder, resume)
    except InputError as error:
        return state, str(error)
    return state, ""
