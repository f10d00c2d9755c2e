"""How far the runs of a study are, all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sordino.errors import InputError
from sordino.experiments.study_plan import StudyRun
from sordino.training.log import read_log
from sordino.types import Progress


class StudyProgress:
    """Counts the steps of all runs by their logs, or the runs where recipes state epochs, and reports them.

    The number of steps in an epoch is known once a run has opened its recordings, so a study with such a run counts
    runs, and its report has the steps of those under way as a figure.

    Args:
        title: of the reports.
        runs: those that are to be done.
        report: called where a count has changed. An unchanged one would only make the runs look slower than they are.
    """

    def __init__(self, title: str, runs: Sequence[StudyRun], report: Progress) -> None:
        self._title, self._report = title, report
        self._by_steps = all(one.recipe.train.steps is not None for one in runs)
        self._lengths = {one.folder: one.recipe.train.steps or 1 if self._by_steps else 1 for one in runs}
        self._done = {one.folder: _steps(one) if self._by_steps else 0 for one in runs}
        self._left = len(runs)
        self._reported: tuple[float, ...] | None = None
        self._send(0.0)  # a display takes the speed of the steps from here on, not of those of an earlier day

    def update(self, under_way: Iterable[StudyRun], done: Iterable[StudyRun], failed: Iterable[StudyRun] = ()) -> None:
        """Count again.

        Args:
            under_way: the runs whose logs may have grown.
            done: those that ended since the last call.
            failed: the same, without a result; the steps that they lack are no longer to be done.
        """
        steps = {one.folder: _steps(one) for one in under_way}
        for folder, count in steps.items() if self._by_steps else ():
            # A run that was killed repeats the steps after its last save; they are not counted twice.
            self._done[folder] = min(max(self._done[folder], count), self._lengths[folder])
        for one in done:
            self._done[one.folder] = self._lengths[one.folder]
            self._left -= 1
        for one in failed:
            self._lengths[one.folder] = self._done[one.folder]
            self._left -= 1
        self._send(float(sum(steps.values())))

    def _send(self, steps: float) -> None:
        done, total = sum(self._done.values()), sum(self._lengths.values())
        figures = {"runs left": float(self._left)}
        if not self._by_steps:
            figures["steps in the runs under way"] = steps
        counts = done, total, *figures.values()
        if total and counts != self._reported:
            self._reported = counts
            self._report(self._title, done, total, figures)


def _steps(one: StudyRun) -> int:
    """The steps of a run by its log; 0 where that is damaged, which its own process reports."""
    try:
        log = read_log(one.folder)
    except InputError:
        return 0
    return int(log[-1]["step"]) if log else 0
