"""Studies: YAML that says how runs differ from one recipe, by scenario, method and seed, and what they are scored on::

    base: pairs.yaml                    # another study, whose keys hold where this one does not state them
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
    metrics: [pesq_wb, stoi]            # the paper's, ESTOI and SI-SDR when left out
    tests:                              # what runs, noisy input and teachers are scored on, a table each
      Valentini: {paper: 1}             # the recipe's own test set, which is all when this is left out
      DNS: {noisy: dns/noisy, clean: dns/clean, paper: 2}
    paper:                              # rows of the MV-AT paper's tables 1 and 2, for comparison
      none: MANNER-S-1.5GF (Baseline)
      width 1/2/output: MANNER-S-1.5GF + MV-AT + KD

A method is laid over the scenario, and both over the recipe. Every run has its own folder below ``out``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from sordino.errors import InputError, written
from sordino.evaluation.score import NOISY
from sordino.experiments.recipe import Recipe, read
from sordino.experiments.recipe_values import construct
from sordino.experiments.study_file import check_changes, find_study, load_study
from sordino.experiments.study_teachers import teachers
from sordino.files import slug
from sordino.report.paper import results, tables
from sordino.report.study_cells import StudyCell

OWN = "test set of the recipe"
"""Its name where a study does not say."""


@dataclass(frozen=True)
class ScoredSet:
    """Pairs that runs are scored on.

    Args:
        noisy: folder of noisy recordings; none for the recipe's own test set.
        clean: folder of their clean partners.
        paper: the table of the MV-AT paper that has figures for it.

    Raises:
        InputError: one folder without the other.
    """

    noisy: str | None = None
    clean: str | None = None
    paper: int | None = None

    def __post_init__(self) -> None:
        if (self.noisy is None) != (self.clean is None):
            raise InputError("tests", "one folder", "noisy and clean, or neither for the recipe's own")


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
        metrics: names as ``sordino.metrics.metric`` takes them; the paper's, ESTOI and SI-SDR when left out.
        tests: name -> test set; the recipe's own goes first, whether it is named or not.
        note: what readers of the tables must know of their rows.
        paper: method, ``SCENARIO/METHOD`` or teacher, as the tables call it -> row of the paper that it stands for.
        jobs: runs side by side; one for each GPU, or each core of a CPU, when left out.

    Raises:
        InputError: a seed below 0, fewer than one job, or no seed, method or scenario.
    """

    recipe: str
    methods: dict[str, Any]
    scenarios: dict[str, Any] = field(default_factory=lambda: {"all": {}})
    seeds: tuple[int, ...] = (0, 1, 2)
    title: str = ""
    out: str = ""
    against: str | None = None
    metrics: tuple[str, ...] | None = None
    tests: dict[str, ScoredSet] = field(default_factory=dict)
    note: str = ""
    paper: dict[str, str] = field(default_factory=dict)
    jobs: int | None = None

    def __post_init__(self) -> None:
        if min(self.seeds, default=0) < 0:
            raise InputError("seeds", str(min(self.seeds)), "0 or more")
        if self.jobs is not None and self.jobs < 1:
            raise InputError("jobs", str(self.jobs), "at least 1")
        for name in ("scenarios", "methods", "seeds"):
            if not getattr(self, name):
                raise InputError(name, "is empty, so there is no run", f"one or more {name}")


@dataclass(frozen=True)
class StudyRun:
    """One run of a study: its recipe and its folder."""

    cell: StudyCell
    seed: int
    recipe: Recipe
    folder: Path


def read_study(path: str | Path) -> tuple[Study, list[StudyRun]]:
    """Read a study and check the recipe of every run.

    Args:
        path: a YAML file, or the name of a study that ships.

    Raises:
        InputError: no such file, or errors in it, all of which the message tells.
    """
    path = find_study(path)
    study = _study(path)
    runs, errors = [], {}  # an error that several runs share, as in their recipe, is reported for the first
    for scenario, method in product(study.scenarios, study.methods):
        cell = StudyCell(scenario, method)
        try:
            recipe = _recipe(study, cell)
        except InputError as error:
            errors.setdefault((error.found, error.expected, error.hint), str(error))
            continue
        runs += [_run(study, recipe, cell, seed) for seed in study.seeds]
    if errors:
        raise InputError(path, "; ".join(errors.values()))
    _check_folders(runs, path)
    _check_paper(study, runs, path)
    return study, runs


def _study(path: Path) -> Study:
    stated = load_study(path)
    errors: list[str] = []
    tests = _tests(stated.pop("tests", None) or {}, errors)
    study = construct("", Study, stated, errors)
    if study is not None:
        errors += _no_sections("scenarios", study.scenarios)
        errors += _no_sections("methods", study.methods)
    if errors or study is None:
        raise InputError(path, "; ".join(errors))
    if NOISY in study.methods:
        raise InputError(path, f"methods: {NOISY} is the row of the noisy input", "another name")
    if study.against is not None and study.against not in study.methods:
        raise InputError(path, f"against: {study.against} is no method", f"one of {', '.join(study.methods)}")
    return replace(study, tests=tests, out=study.out or str(Path("runs/studies") / path.stem))


def _no_sections(key: str, sections: Mapping[str, Any]) -> list[str]:
    """Name the entries below ``key`` that are not what changes in a recipe."""
    errors = []
    for name, section in sections.items():
        if not isinstance(section, Mapping | None):
            errors.append(f"{key}.{name}: {written(section)} is no section; expected what changes in the recipe")
    return errors


def _tests(sections: Any, errors: list[str]) -> dict[str, ScoredSet]:
    """The test sets, the recipe's own first; what is wrong with them joins ``errors``."""
    if not isinstance(sections, Mapping):
        errors.append(f"tests: {written(sections)} is no section; expected a name and a section for each test set")
        return {}
    tests: dict[str, ScoredSet] = {}
    for name, section in sections.items():
        if not isinstance(section, Mapping):
            errors.append(f"tests.{name}: {written(section)} is no section; expected noisy and clean, paper, or {{}}")
            continue
        test = construct(f"tests.{name}", ScoredSet, section, errors)
        if test is not None:
            tests[str(name)] = test
            if test.paper is not None and str(test.paper) not in tables():
                errors.append(f"tests.{name}.paper: {test.paper}; expected a table of the paper, {', '.join(tables())}")
    own = [name for name, test in tests.items() if test.noisy is None]
    if len(own) > 1 or len(tests) > len({slug(name) for name in tests}):
        errors.append("tests: expected names that differ in letters or digits, and at most one without folders")
    if not own:
        return {OWN: ScoredSet()} | tests
    return {name: tests[name] for name in own} | tests


def _recipe(study: Study, cell: StudyCell) -> Recipe:
    """Read what the runs of a method in a scenario share; title and seed are those of none of them."""
    scenario, method = study.scenarios[cell.scenario] or {}, study.methods[cell.method] or {}
    check_changes(f"scenarios.{cell.scenario}", scenario)
    check_changes(f"methods.{cell.method}", method)
    try:
        own = {"title": ", ".join(cell), "out": None, "paper": None}
        return read(study.recipe, ["train.seed=0"], [scenario, method, own])
    except InputError as error:
        raise InputError(", ".join(cell), error.found, error.expected, error.hint) from error


def _run(study: Study, recipe: Recipe, cell: StudyCell, seed: int) -> StudyRun:
    """Return a checked recipe under another title and with another seed, which need no second check."""
    title = f"{', '.join(cell)}, seed {seed}"
    stated = {**recipe.stated, "title": title, "train": {**recipe.stated["train"], "seed": seed}}
    seeded = replace(recipe, title=title, train=replace(recipe.train, seed=seed), stated=stated)
    return StudyRun(cell, seed, seeded, Path(study.out) / slug(cell.scenario) / slug(cell.method) / f"seed-{seed}")


def _check_folders(runs: Sequence[StudyRun], path: Path) -> None:
    """Refuse runs that would share a folder, as their names have the same letters and digits."""
    counts = Counter(one.folder for one in runs)
    for one in runs:
        if counts[one.folder] > 1:
            found = f"{', '.join(one.cell)}, seed {one.seed} shares the folder {one.folder} with another run"
            raise InputError(path, found, "names that differ in letters or digits, and each seed once")


def _check_paper(study: Study, runs: Sequence[StudyRun], path: Path) -> None:
    """Refuse rows of the paper that nothing of the study can stand beside."""
    cells = {one.cell for one in runs}
    cells.update(teachers(one.recipe for one in runs))
    names = set()
    for cell in cells:
        names |= {cell.method, "/".join(cell)}
    named = [test.paper for test in study.tests.values() if test.paper is not None]
    rows = set()
    for table in named:
        rows |= {row.name for row in results(table)}
    for name, row in study.paper.items():
        if name not in names:
            raise InputError(path, f"paper: {name} is no method", f"one of {', '.join(sorted(names))}")
        if row not in rows:
            found = f"paper.{name}: no row {row!r} in the tables that the test sets name ({named or 'none'})"
            expected = f"one of {', '.join(sorted(rows))}" if rows else "tests: {NAME: {paper: 1}}"
            raise InputError(path, found, expected)
