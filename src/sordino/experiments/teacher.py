"""The teacher of a recipe: a network, a model from elsewhere, or both as one; any of them behind a cache."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial

import torch

from sordino import models
from sordino.assets import weights
from sordino.distill import teachers
from sordino.errors import InputError
from sordino.experiments.recipe import Recipe
from sordino.experiments.schema import Teacher
from sordino.inference.enhance import enhance
from sordino.inference.model import open_model
from sordino.inference.resolve import resolve
from sordino.training import Trainer


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
    load = partial(_load, section, sample_rate, recipe.train.threads)
    if section.cache is None:
        return load()
    facts = recipe.teacher_facts() | {"teacher": _identity(section)}
    both = [section]
    if section.estimate is not None:
        both.append(_of_estimate(section.estimate))
        facts["teacher.estimate"] = _identity(both[1])
    return teachers.CachedTeacher(load, section.cache, facts, verify=any(one.checkpoint is None for one in both))


def cache_plan(trainer: Trainer) -> str:
    """Describe what the cache of a run's teacher will take; empty if there is none.

    Raises:
        InputError: the disk has less free.
    """
    teacher, segments = trainer.objective.teacher, trainer.segments
    if not isinstance(teacher, teachers.CachedTeacher):
        return ""
    plan = teacher.plan(len(segments) * (segments.draws or 1))
    return (
        f"teacher cache {teacher.store.folder}: has {plan.kept:,} of {plan.total:,} answers; "
        f"the others will take {plan.bytes / 1e6:,.1f} MB, written as they come"
    )


def _load(section: Teacher, sample_rate: int, threads: int | None) -> teachers.AnyTeacher:
    """A network whose features can be read, a model that runs at the student's rate, or the one with the other."""
    if section.estimate is not None:
        features = _load(replace(section, estimate=None), sample_rate, threads)
        return teachers.JointTeacher(features, _load(_of_estimate(section.estimate), sample_rate, threads))
    with torch.random.fork_rng(devices=[]):  # whether it is loaded, and when, moves no other draw of the run
        if section.checkpoint is not None:
            return teachers.Teacher(models.load(section.checkpoint))
        model = open_model(section.onnx or section.callable, threads, section.sample_rate)
    run = partial(enhance, sample_rate=sample_rate, model=model)
    return teachers.ExternalTeacher(run, model.name, sample_rate)


def _of_estimate(model: str) -> Teacher:
    """The section of a teacher that is named by one string, as ``teacher.estimate`` is."""
    kind = resolve(model, otherwise="checkpoint").kind
    if kind == "import":
        return Teacher(callable=model)
    return Teacher(onnx=model) if kind in ("onnx", "stream") else Teacher(checkpoint=model)


def _identity(section: Teacher) -> str | None:
    """A file is identified by a hash of its content, wherever it lies; a function by its name alone."""
    name = section.checkpoint or section.onnx
    if name is None:
        return section.callable
    path = weights(name)
    if not path.is_file():
        raise InputError(path, "no such file", "the teacher")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
