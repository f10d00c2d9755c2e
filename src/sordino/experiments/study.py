"""Studies: every method in every scenario with every seed, trained side by side, resumed where they stopped.

A study is YAML that says how its runs differ from one recipe::

    title: Mismatch of teacher and student
    out: runs/studies/mismatch
    recipe: unet/student                # a recipe that ships, or a file beside the study
    seeds: [0, 1, 2]
    against: none                       # what the other methods are compared with
    scenarios:
      width 1/2: {model: {width: 80}}
      width 1/4: {model: {width: 40}}
    methods:
      none: {teacher: null}
      output: {distill: {output: {}}}
      cosine: {distill: {cosine: {}}, weights: {kd/cosine: {balance: 0.5}}}
    metrics: [pesq_wb, stoi]            # the paper's and SI-SDR when left out
    tests:                              # what runs, noisy input and teachers are scored on, a table each
      Valentini: {paper: 1}             # the recipe's own test set, which is all when this is left out
      DNS: {noisy: dns/noisy, clean: dns/clean, paper: 2}
    paper:                              # rows of the MV-AT paper's tables 1 and 2, to stand beside ours
      none: MANNER-S-1.5GF (Baseline)
      width 1/2/output: MANNER-S-1.5GF + MV-AT + KD

What a method changes is laid over the scenario, and both over the recipe. Every run has a folder of its own below
``out``, which any other command reads; a run that has its scores is not done again, and one that lacks those on a
further test set gets these alone.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch

from sordino.assets import STUDIES, studies
from sordino.errors import InputError
from sordino.experiments import recipe as schema
from sordino.experiments import run as recipes
from sordino.experiments.schema import arguments
from sordino.experiments.study_results import Findings, TestSet, scored, summary, teachers
from sordino.files import slug
from sordino.report.paper import results, tables
from sordino.report.studies import Cell
from sordino.training.log import read_log
from sordino.training.state import STATE
from sordino.types import Progress

POLL_S = 2.0
OWN = "test set of the recipe"  # what it is called where a study does not say


@dataclass(frozen=True)
class Study:
    """What a study's YAML says.

    Args:
        recipe: what all runs share.
        scenarios: name -> what changes in the recipe.
        methods: name -> what changes in the scenario.
        seeds: of the runs.
        title: of the tables.
        out: folder; ``runs/studies/`` and the file's name when left out.
        against: the method that the others are compared with.
        metrics: names from ``sordino.metrics.METRICS``; the paper's and SI-SDR when left out.
        tests: name -> ``sordino.experiments.study_results.TestSet``; the recipe's own goes first, whether it is named
        or not.
        note: what readers of the tables must know of their rows.
        paper: method, ``SCENARIO/METHOD`` or teacher, as the tables call it -> row of the paper that it stands for.
        jobs: runs side by side; one for each GPU, or each core of a CPU, when left out.
    """

    recipe: str
    methods: dict[str, Any]
    scenarios: dict[str, Any] = field(default_factory=lambda: {"all": {}})
    seeds: tuple[int, ...] = (0, 1, 2)
    title: str = ""
    out: str = ""
    against: str | None = None
    metrics: tuple[str, ...] | None = None
    tests: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    paper: dict[str, str] = field(default_factory=dict)
    jobs: int | None = None


@dataclass(frozen=True)
class Run:
    """One run of a study: its recipe, checked, and its folder."""

    cell: Cell
    seed: int
    recipe: dict[str, Any]
    folder: Path


def read(path: str | Path) -> tuple[Study, list[Run]]:
    """Read a study and check the recipe of every run.

    Raises:
        InputError: no such file, or errors in it, all of which the message tells.
    """
    path = _find(path)
    values = schema.parse(path.read_text("utf-8"), path)
    errors: list[str] = []
    checked = arguments("", Study, values if isinstance(values, dict) else {}, errors)
    checked["tests"] = _tests(checked.get("tests") or {}, errors)
    checked["out"] = checked.get("out") or str(Path("runs/studies") / path.stem)
    if errors:
        raise InputError(path, "; ".join(errors))
    study = Study(**checked)
    if study.against is not None and study.against not in study.methods:
        raise InputError(path, f"against: {study.against} is no method", f"one of {', '.join(study.methods)}")
    beside = path.parent / study.recipe
    base = str(beside) if beside.is_file() else study.recipe
    out = Path(study.out)
    runs = [
        Run(Cell(scenario, method), seed, _recipe(base, study, scenario, method, seed, path), folder)
        for scenario in study.scenarios
        for method in study.methods
        for seed in study.seeds
        for folder in [out / slug(scenario) / slug(method) / f"seed-{seed}"]
    ]
    folders = [one.folder for one in runs]
    for one in runs:
        if folders.count(one.folder) > 1:
            found = f"{', '.join(one.cell)}, seed {one.seed} shares the folder {one.folder} with another run"
            raise InputError(path, found, "names that differ in letters or digits, and each seed once")
    _check_paper(study, runs, path)
    return study, runs


def _tests(sections: Mapping[str, Any], errors: list[str]) -> dict[str, TestSet]:
    """The test sets, the recipe's own first; what is wrong with them joins ``errors``."""
    found = {}
    for name, section in sections.items():
        if not isinstance(section, Mapping):
            errors.append(f"tests.{name}: {section!r} is no section; expected noisy and clean, paper, or {{}}")
            continue
        found[str(name)] = test = TestSet(**arguments(f"tests.{name}", TestSet, section, errors))
        if (test.noisy is None) != (test.clean is None):
            errors.append(f"tests.{name}: one folder; expected noisy and clean, or neither for the recipe's own")
        if test.paper is not None and str(test.paper) not in tables():
            errors.append(f"tests.{name}.paper: {test.paper}; expected a table of the paper, {', '.join(tables())}")
    own = [name for name, test in found.items() if test.noisy is None]
    names = [slug(name) for name in found]
    if len(own) > 1 or len(names) > len(set(names)):
        errors.append("tests: expected names that differ in letters or digits, and at most one without folders")
    return {name: found.get(name, TestSet()) for name in own or [OWN]} | found


def _check_paper(study: Study, runs: Sequence[Run], path: Path) -> None:
    """Refuse rows of the paper that nothing of the study can stand beside."""
    cells = {one.cell for one in runs} | set(teachers(runs))
    names = {name for cell in cells for name in (cell.method, "/".join(cell))}
    named = [test.paper for test in study.tests.values() if test.paper is not None]
    rows = {row.name for table in named for row in results(table)}
    for name, row in study.paper.items():
        if name not in names:
            raise InputError(path, f"paper: {name} is no method", f"one of {', '.join(sorted(names))}")
        if row not in rows:
            found = f"paper.{name}: no row {row!r} in the tables that the test sets name ({named or 'none'})"
            raise InputError(path, found, f"one of {', '.join(sorted(rows))}" if rows else "tests: {NAME: {paper: 1}}")


def run(path: str | Path, progress: Progress | None = None) -> tuple[Findings, str]:
    """Do what is missing of a study, and sum up all of it.

    Writes ``table.md``, ``table.tex``, ``table.csv``, ``study.json``, ``study.html``, a plot for each metric, as
    ``plot-stoi.svg``, and one of the learning curves, ``plot-learning.svg``, into the study's folder.

    Returns:
        The lines of the table of each test set, and the tables as text.

    Raises:
        InputError: errors in the study, or runs that failed; the message names the first, and the others are done.
    """
    study, runs = read(path)
    failures = _train([one for one in runs if not _finished(one, study)], study, progress)
    done = [one for one in runs if _finished(one, study)]
    found = summary(study, done, progress) if done else ({}, "")
    if failures:
        first, error = next(iter(failures.items()))
        raise InputError(first, f"{len(failures)} of {len(runs)} runs failed; this one with: {error}")
    return found


def _train(runs: Sequence[Run], study: Study, progress: Progress | None) -> dict[Path, str]:
    """Train and score ``runs``, several side by side; returns what went wrong, by folder."""
    gpus = _gpus()
    jobs = study.jobs or len(gpus) or os.cpu_count() or 1
    failures: dict[Path, str] = {}
    with ProcessPoolExecutor(jobs, _context(), max_tasks_per_child=1) as pool:
        futures = {
            pool.submit(_run, one, study.metrics, gpus[index % len(gpus)] if gpus else None, jobs): one
            for index, one in enumerate(runs)
        }
        try:
            _watch(futures, study, progress)
        except KeyboardInterrupt:
            # Each process has been interrupted too and saves its run.
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        for future, one in futures.items():
            error = future.exception()
            if isinstance(error, InputError):
                failures[one.folder] = str(error)
            elif error is not None:
                raise error
    return failures


def _context() -> BaseContext:
    """Fresh processes; where the system can, copies of one that has loaded torch and done nothing yet."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sordino.experiments.run", "lightning_fabric"])
    return context


def _watch(futures: Mapping[Future[None], Run], study: Study, progress: Progress | None) -> None:
    """Wait for all runs, telling how many are done and what the log of the runs says of their steps."""
    waiting = set(futures)
    title = study.title or "study"
    while waiting:
        _, waiting = wait(waiting, POLL_S, FIRST_EXCEPTION)
        if progress is not None:
            done = len(futures) - len(waiting)
            steps = sum(_steps(one.folder) for future, one in futures.items() if future in waiting)
            progress(title, done, len(futures), {"steps in the runs under way": float(steps)})


def _steps(folder: Path) -> int:
    log = read_log(folder)
    return int(log[-1]["step"]) if log else 0


def _gpus() -> list[str]:
    """The GPUs that this process may use, by the names that a process of its own would know them by."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = allowed.split(",") if allowed else [str(index) for index in range(torch.cuda.device_count())]
    return names[: torch.cuda.device_count()]


def _run(one: Run, metrics: tuple[str, ...] | None, gpu: str | None, jobs: int) -> None:
    """Train and score one run, in a process of its own."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(max((os.cpu_count() or 1) // jobs, 1))
    outcome = recipes.train(one.recipe, out=one.folder, resume=(one.folder / STATE).exists())
    recipes.evaluate(outcome.checkpoint, metrics=metrics, out=one.folder, workers=0)


def _finished(one: Run, study: Study) -> bool:
    """Whether the run has its scores; one of another recipe than the study's is refused."""
    if scored(study, next(iter(study.tests)), one.folder) is None:
        return False
    schema.same_recipe(one.folder, one.recipe)
    return True


def _recipe(base: str, study: Study, scenario: str, method: str, seed: int, path: Path) -> dict[str, Any]:
    own = {"title": f"{scenario}, {method}, seed {seed}", "out": None, "paper": None}
    layers = [study.scenarios[scenario] or {}, study.methods[method] or {}, own]
    try:
        return schema.read(base, [f"train.seed={seed}"], layers)
    except InputError as error:
        raise InputError(path, f"{scenario}, {method}: {error.found}", error.expected, error.hint) from error


def _find(path: str | Path) -> Path:
    """The file of a study, at the path given or among those that ship."""
    for candidate in (Path(path), Path(str(STUDIES / f"{path}.yaml"))):
        if candidate.is_file():
            return candidate
    raise InputError(path, "no such study", f"a YAML file, or one of {', '.join(studies())}")
