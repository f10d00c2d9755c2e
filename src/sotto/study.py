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

What a method changes is laid over the scenario, and both over the recipe. Every run has a folder of its own below
``out``, which any other command reads; a run that has its scores is not done again.
"""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from sotto import models, recipes, schema
from sotto.errors import InputError
from sotto.evaluate import Scores
from sotto.evaluate.page_study import write_study
from sotto.evaluate.spread import Cell, Line, lines, table
from sotto.files import write_json, write_text
from sotto.metrics import DEFAULT
from sotto.recipes import NOISY, SCORES, Progress
from sotto.sections import arguments
from sotto.shelf import STUDIES, studies
from sotto.train.checkpoint import STATE
from sotto.train.log import read_log

POLL_S = 2.0
STYLES = {"md": "markdown", "tex": "latex", "csv": "csv"}


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
        metrics: names from ``sotto.metrics.METRICS``; the paper's and SI-SDR when left out.
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
    if errors:
        raise InputError(path, "; ".join(errors))
    study = Study(**checked)
    if study.against is not None and study.against not in study.methods:
        raise InputError(path, f"against: {study.against} is no method", f"one of {', '.join(study.methods)}")
    beside = path.parent / study.recipe
    base = str(beside) if beside.is_file() else study.recipe
    out = Path(study.out or Path("runs/studies") / path.stem)
    runs = [
        Run(Cell(scenario, method), seed, _recipe(base, study, scenario, method, seed, path), folder)
        for scenario in study.scenarios
        for method in study.methods
        for seed in study.seeds
        for folder in [out / _slug(scenario) / _slug(method) / f"seed-{seed}"]
    ]
    folders = [one.folder for one in runs]
    for one in runs:
        if folders.count(one.folder) > 1:
            found = f"{', '.join(one.cell)}, seed {one.seed} shares the folder {one.folder} with another run"
            raise InputError(path, found, "names that differ in letters or digits, and each seed once")
    return study, runs


def run(path: str | Path, progress: Progress | None = None) -> tuple[list[Line], str]:
    """Do what is missing of a study, and sum up all of it.

    Writes ``table.md``, ``table.tex``, ``table.csv``, ``study.json``, ``study.html`` and a plot for each metric, as
    ``plot-stoi.svg``, into the study's folder.

    Returns:
        The lines of the table, and the table as text.

    Raises:
        InputError: errors in the study, or runs that failed; the message names the first, and the others are done.
    """
    study, runs = read(path)
    failures = _train([one for one in runs if not _finished(one, study)], study, progress)
    done = [one for one in runs if _finished(one, study)]
    found = summary(study, done, progress) if done else ([], "")
    if failures:
        first, error = next(iter(failures.items()))
        raise InputError(first, f"{len(failures)} of {len(runs)} runs failed; this one with: {error}")
    return found


def summary(study: Study, runs: Sequence[Run], progress: Progress | None = None) -> tuple[list[Line], str]:
    """The table of the runs that are done, the noisy input and the teachers above them, written in every style."""
    out = runs[0].folder.parent.parent.parent
    scores = _references(study, runs, out, progress)
    for one in runs:
        scores.setdefault(one.cell, []).append(Scores.from_json(one.folder / SCORES))
    networks = {one.cell: one.recipe["model"] for one in runs}
    sizes = {cell: models.count_parameters(models.create(**network)) for cell, network in networks.items()}
    found = lines(scores, study.against, sizes)
    synthetic = any(one.metadata.get("synthetic") for runs_of in scores.values() for one in runs_of)
    for suffix, style in STYLES.items():
        write_text(out / f"table.{suffix}", table(found, style, study.against, synthetic))  # pyright: ignore[reportArgumentType]
    write_json(out / "study.json", {"study": asdict(study), "lines": [asdict(line) for line in found]})
    write_study(out, study.title or out.name, found, study.against, synthetic)
    return found, table(found, "text", study.against, synthetic)


def _references(study: Study, runs: Sequence[Run], out: Path, progress: Progress | None) -> dict[Cell, list[Scores]]:
    """The noisy input and every teacher, scored once on the test set of the runs."""
    teachers = dict.fromkeys(one.recipe.get("teacher", {}).get("checkpoint") for one in runs)
    recipe, scores = runs[0].folder / recipes.RECIPE, {}
    for model in (NOISY, *filter(None, teachers)):
        folder = out / "references" / _slug(model)
        if not _scored(folder, study):
            recipes.evaluate(model, recipe=recipe, metrics=study.metrics, out=folder, progress=progress)
        cell = Cell("", NOISY if model == NOISY else f"{Path(model).parent.name} (teacher)")
        if cell in scores:  # another teacher is in a folder of the same name
            cell = Cell("", f"{Path(model).parent} (teacher)")
        scores[cell] = [Scores.from_json(folder / SCORES)]
    return scores


def _train(runs: Sequence[Run], study: Study, progress: Progress | None) -> dict[Path, str]:
    """Train and score ``runs``, several side by side; returns what went wrong, by folder."""
    gpus = _gpus()
    jobs = study.jobs or len(gpus) or os.cpu_count() or 1
    failures: dict[Path, str] = {}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
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
    recipes.evaluate(outcome.checkpoint, metrics=metrics, out=one.folder, workers=1)


def _finished(one: Run, study: Study) -> bool:
    """Whether the run has its scores; one of another recipe than the study's is refused."""
    if not _scored(one.folder, study):
        return False
    recipes.same_recipe(one.folder, one.recipe)
    return True


def _scored(folder: Path, study: Study) -> bool:
    """Whether a folder has scores by all metrics of the study."""
    path = folder / SCORES
    return path.is_file() and set(study.metrics or DEFAULT) <= set(Scores.from_json(path).metrics)


def _recipe(base: str, study: Study, scenario: str, method: str, seed: int, path: Path) -> dict[str, Any]:
    own = {"title": f"{scenario}, {method}, seed {seed}", "out": None, "paper": None}
    layers = [study.scenarios[scenario] or {}, study.methods[method] or {}, own]
    try:
        return schema.read(base, [f"train.seed={seed}"], layers)
    except InputError as error:
        raise InputError(path, f"{scenario}, {method}: {error.found}", error.expected, error.do) from error


def _find(path: str | Path) -> Path:
    """The file of a study, at the path given or among those that ship."""
    for candidate in (Path(path), Path(str(STUDIES / f"{path}.yaml"))):
        if candidate.is_file():
            return candidate
    raise InputError(path, "no such study", f"a YAML file, or one of {', '.join(studies())}")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
