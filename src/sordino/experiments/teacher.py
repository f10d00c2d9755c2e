"""The teacher of a recipe: a network, a model from elsewhere, or several as one; any of them behind a cache."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sordino import models
from sordino.assets import weights
from sordino.distill import teachers
from sordino.distill.teachers.several import Measure
from sordino.distill.teachers.store import Plan, Store
from sordino.errors import MissingFile
from sordino.experiments.recipe import Recipe
from sordino.experiments.teacher_section import TeacherSection
from sordino.files import identity
from sordino.inference.enhance import enhance
from sordino.inference.graphs.card import is_card
from sordino.inference.graphs.source import GraphSource
from sordino.inference.model import open_model
from sordino.metrics import describe, look_of, measure, owner
from sordino.training import Trainer

MEASURE = "si_sdr_db"
"""What chooses the best of several teachers where the recipe does not say."""
UNLABELLED, UNLABELLED_COLUMN = "dnsmos", "dnsmos_ovrl"
"""The metric, and its column, that chooses where there is no clean speech."""


def build_teacher(recipe: Recipe, sample_rate: int) -> teachers.AnyTeacher | None:
    """Make the teacher of a recipe; None if it has none.

    Args:
        recipe: a cache keeps to its teacher and its data.
        sample_rate: Hz, the student's, at which a model from elsewhere is run.

    Raises:
        InputError: nothing that can teach there, or a cache that holds other answers.
    """
    section = recipe.teacher
    if section is None:
        return None
    judged = {}
    if recipe.unlabelled is not None and _names(section, "best"):
        # Recordings without clean speech come, if not in the first batch, so DNSMOS has to be there.
        judged["teacher.dnsmos"] = describe(UNLABELLED)
    load = partial(_load, section, sample_rate, recipe.train.threads)
    if section.cache is None:
        return load()
    facts = recipe.teacher_facts() | identity_of("teacher", section) | judged
    verify = any(_names(section, kind) for kind in ("onnx", "preset", "callable"))
    return teachers.CachedTeacher(load, section.cache, facts, verify=verify)


def check_cache(recipe: Recipe, sample_rate: int) -> None:
    """Open the cache of a recipe's teacher, if there is one already; no teacher is loaded for it.

    Raises:
        InputError: it holds the answers of another teacher, or for other data.
    """
    section = recipe.teacher
    if section is not None and section.cache is not None and Store(section.cache).header() is not None:
        build_teacher(recipe, sample_rate)


def cache_plan(trainer: Trainer) -> str:
    """Describe what the cache of a run's teacher will take; empty if there is none.

    Raises:
        InputError: the disk has less free.
    """
    teacher, plan = trainer.objective.teacher, _plan(trainer)
    if not isinstance(teacher, teachers.CachedTeacher) or plan is None:
        return ""
    return (
        f"teacher cache {teacher.store.folder}: has {plan.kept:,} of {plan.total:,} answers; "
        f"the others will take {plan.bytes / 1e6:,.1f} MB, written as they come"
    )


def has_all_answers(trainer: Trainer) -> bool:
    """Whether the cache of a run's teacher is complete, so that the run writes nothing to it."""
    plan = _plan(trainer)
    return plan is not None and plan.kept == plan.total


def _plan(trainer: Trainer) -> Plan | None:
    teacher, segments = trainer.objective.teacher, trainer.segments
    if not isinstance(teacher, teachers.CachedTeacher):
        return None
    passes = -(-trainer.steps // trainer.batches.per_epoch)  # a short run does not come to all draws
    return teacher.plan(len(segments) * min(segments.draws or 1, passes))


def _load(section: TeacherSection, sample_rate: int, threads: int | None) -> teachers.AnyTeacher:
    """A network whose features can be read, a model that runs at the student's rate, or several as one."""
    estimating, members = section.estimating(), section.members()
    if estimating is not None:
        features = _load(replace(section, estimate=None), sample_rate, threads)
        return teachers.JointTeacher(features, _load(estimating, sample_rate, threads))
    if members:
        loaded = [_load(member, sample_rate, threads) for member in members]
        if section.best is None:
            return teachers.SeveralTeachers(loaded, None)
        return teachers.SeveralTeachers(loaded, _measure(section.measure or MEASURE, sample_rate))
    with torch.random.fork_rng(devices=[]):  # whether it is loaded, and when, moves no other draw of the run
        if section.checkpoint is not None:
            network = teachers.Teacher(models.load(section.checkpoint))
            if section.other_noise is None:
                return network
            return teachers.OtherNoiseTeacher(network, section.other_noise)
        model = open_model(section.callable or _graph(section), threads, section.sample_rate)
    # The band above the model's rate is left out: the model does not estimate it.
    run = partial(enhance, sample_rate=sample_rate, model=model, high_band="drop")
    # A function may not be ready for several signals, and may change what it is given.
    return teachers.ExternalTeacher(
        run, model.name, sample_rate, section.callable is None, model.about.get("external", "")
    )


def _graph(section: TeacherSection) -> str | GraphSource:
    """Return the argument for ``open_model``: without facts the file alone, as it may be one that sordino wrote."""
    if section.onnx is not None and section.stft is None:
        return section.onnx
    return section.graph()


def _measure(column: str, sample_rate: int) -> Measure:
    """Return what judges an estimate, larger being better: by ``column``, without clean speech by DNSMOS.

    A recording for which a metric is undefined, such as silence, has the least value.
    """

    def judge(estimate: np.ndarray, clean: np.ndarray | None) -> float:
        judged = UNLABELLED_COLUMN if clean is None else column
        found = measure(clean, estimate, sample_rate, [owner(judged)]).values.get(judged)
        if found is None:
            return -math.inf
        if look_of(judged).higher_is_better:
            return found
        return -found

    return judge


def _names(section: TeacherSection, kind: str) -> bool:
    """Tell whether the section, or one inside it, is of this kind."""
    return getattr(section, kind) is not None or any(_names(one, kind) for one in section.inner())


def identity_of(key: str, section: TeacherSection) -> dict[str, Any]:
    """Facts that identify the teacher, by dotted key: files by a hash of their content, wherever they lie."""
    estimating = section.estimating()
    facts: dict[str, Any] = {key: _identity(section)}
    if section.sample_rate is not None:
        facts[f"{key}.sample_rate"] = section.sample_rate
    if section.preset is not None or section.stft is not None or _is_card(section):
        facts[f"{key}.stft"] = repr(section.graph().transform)
    if section.best is not None:
        facts[f"{key}.measure"] = section.measure or MEASURE
    for place, member in enumerate(section.members()):
        facts |= identity_of(f"{key}.{place}", member)
    if estimating is not None:
        facts |= identity_of(f"{key}.estimate", estimating)
    return facts


def _identity(section: TeacherSection) -> str | None:
    """Return a hash of all files' content; the name of a function, or of what is done with several."""
    if section.members():
        return "the mean" if section.best is None else "the best"
    if section.preset is not None or _is_card(section):
        graph = section.graph()
        parts = (graph.preset, graph.sample_rate, _hash(graph.files))
        return " ".join(str(part) for part in parts if part)
    name = section.checkpoint or section.onnx
    if name is None:
        return section.callable
    return _hash([weights(name)])


def _is_card(section: TeacherSection) -> bool:
    """Tell whether a card says how to run its one network."""
    return section.onnx is not None and is_card(section.onnx) and not section.members()


def _hash(paths: Sequence[Path]) -> str:
    for path in paths:
        if not path.is_file():
            raise MissingFile(path, "no such file", "the teacher")
    return _hash_of_files(tuple((path, identity(path)) for path in paths))


@lru_cache(64)
def _hash_of_files(files: tuple[tuple[Path, tuple[int, ...]], ...]) -> str:
    """Hash the content of files; with what ``sordino.files.identity`` says, one that was replaced is read again."""
    digest = hashlib.sha256()
    for path, _ in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
