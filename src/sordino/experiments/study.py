"""Studies: every method in every scenario with every seed, trained side by side, resumed where they stopped.

``sordino.experiments.study_plan`` has the format of a study's YAML. A run that has its scores is not done again, and
one that lacks those on a further test set gets these alone.
"""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sordino.errors import InputError, one_line_warnings
from sordino.experiments import run as recipes
from sordino.experiments.run_folder import can_resume, same_run
from sordino.experiments.study_check import obstacles
from sordino.experiments.study_jobs import gpus, jobs_of, least_taken, threads_of
from sordino.experiments.study_plan import Study, StudyRun, read_study
from sordino.experiments.study_progress import StudyProgress
from sordino.experiments.study_results import Lines, summary
from sordino.experiments.study_state import demand_outcome, finished
from sordino.plugins.modules import start_worker, trusted
from sordino.types import Progress

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

POLL_S = 2.0
KILLED = "its process was killed, perhaps for lack of memory; run the study again with fewer jobs: done runs are kept"


def run(path: str | Path, progress: Progress | None = None) -> tuple[Lines, str]:
    """Read a study and do its runs; see ``run_all``.

    Args:
        path: a YAML file, or the name of a study that ships.
        progress: called where the runs have moved on, with their steps.
    """
    return run_all(*read_study(path), progress)


def run_all(study: Study, runs: Sequence[StudyRun], progress: Progress | None = None) -> tuple[Lines, str]:
    """Train and score the runs of a study that are missing, and sum up all of them.

    Writes ``table.md``, ``table.tex``, ``table.csv``, ``study.json``, ``study.html``, a plot for each metric, as
    ``plot-stoi.svg``, and one of the learning curves, ``plot-learning.svg``, into the study's folder.

    Args:
        study, runs: what ``read_study`` returned.
        progress: called where the runs have moved on, with their steps.

    Returns:
        The lines of the table of each test set, and the tables as text.

    Raises:
        InputError: runs failed; the message names the first one, and all others are done. If one problem would stop all
            runs, none is started. Also if the folder has a ``study.html`` that sordino did not write.
    """
    demand_outcome(study)
    missing = [one for one in runs if not finished(study, one)]
    reasons = set(obstacles(study, missing))
    if len(reasons) == 1 and "" not in reasons:  # such as a corpus that is not there
        reason = reasons.pop()
        failures = {one.folder: reason for one in missing}
    else:
        failures = _train(missing, study, progress)
    done = [one for one in runs if finished(study, one)]
    summed = summary(study, done, progress) if done else ({}, "")
    if failures:
        first, error = next(iter(failures.items()))
        same = len(failures) > 1 and len(set(failures.values())) == 1
        whose = "all" if same else "this one"
        raise InputError(first, f"{len(failures)} of {len(runs)} runs failed; the error of {whose}: {error}")
    return summed


def _train(runs: Sequence[StudyRun], study: Study, progress: Progress | None) -> dict[Path, str]:
    """Train and score ``runs``, several side by side; returns what went wrong, by folder."""
    cards, jobs = gpus(), jobs_of(study)
    others = set(multiprocessing.active_children())
    at_work: dict[Future[None], str | None] = {}  # the GPU of every run

    def begin(index: int) -> Future[None]:
        # A pool for each run: where a process is killed, that run alone fails.
        pool = ProcessPoolExecutor(1, fresh_processes(), start_worker, (trusted(),))
        gpu = least_taken(cards, [gpu for run, gpu in at_work.items() if not run.done()])
        future = pool.submit(_run, runs[index], study.metrics, gpu, threads_of(jobs))
        at_work[future] = gpu
        pool.shutdown(wait=False)  # it ends with its run
        return future

    try:
        futures = _side_by_side(begin, runs, jobs, study.title or "study", progress)
    except KeyboardInterrupt:
        processes = set(multiprocessing.active_children()) - others
        for process in processes:
            process.terminate()  # a run that gets this signal finishes its step and saves
        for process in processes:
            process.join()
        raise
    failures: dict[Path, str] = {}
    for future, one in futures.items():
        error = future.exception()
        if isinstance(error, InputError):
            failures[one.folder] = str(error)
        elif isinstance(error, BrokenProcessPool):
            failures[one.folder] = KILLED
        elif error is not None:
            raise error
    return failures


def _side_by_side(
    begin: Callable[[int], Future[None]], runs: Sequence[StudyRun], jobs: int, title: str, progress: Progress | None
) -> dict[Future[None], StudyRun]:
    """Do all runs, ``jobs`` at a time, and report how far all of them together are."""
    count = None if progress is None else StudyProgress(title, runs, progress)
    futures: dict[Future[None], StudyRun] = {}
    under_way: set[Future[None]] = set()
    while len(futures) < len(runs) or under_way:
        while len(futures) < len(runs) and len(under_way) < jobs:
            index = len(futures)
            future = begin(index)
            futures[future] = runs[index]
            under_way.add(future)
        ended, under_way = wait(under_way, POLL_S, FIRST_COMPLETED)
        if count is None:
            continue
        done, failed = [], []
        for future in ended:
            if future.exception() is None:
                done.append(futures[future])
            else:
                failed.append(futures[future])
        count.update(under_way=[futures[future] for future in under_way], done=done, failed=failed)
    return futures


def fresh_processes() -> ForkServerContext | SpawnContext:
    """Return a context of fresh processes; where the system can, copies of one that has loaded torch and no more."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sordino.experiments.run", "lightning_fabric"])
    return context


def _run(one: StudyRun, metrics: tuple[str, ...] | None, gpu: str | None, threads: int) -> None:
    """Train and score one run, in a process of its own."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(threads)
    warnings.formatwarning = one_line_warnings(one.folder)
    resume = can_resume(one.folder)
    recipe = same_run(one.folder, one.recipe) if resume else one.recipe
    outcome = recipes.train(recipe, out=one.folder, resume=resume)
    recipes.evaluate(outcome.checkpoint, metrics=metrics, out=one.folder, workers=0)
