"""Construction of what a recipe describes: its network, its data, and the trainer of the run."""

from __future__ import annotations

from pathlib import Path

import torch

from sordino import losses, models
from sordino.audio.folders import demand_folder
from sordino.data import sources
from sordino.data.base import Source
from sordino.distill import methods
from sordino.distill.teachers import AnyTeacher
from sordino.errors import InputError
from sordino.evaluation.trained_on import METRICS, Losses, ordered, recipe_trains_on, trained_on
from sordino.experiments.origins import demand_origins, origins
from sordino.experiments.recipe import Recipe
from sordino.experiments.schema import Component, Pretrained
from sordino.experiments.teacher import build_teacher
from sordino.models import Enhancer
from sordino.training import Objective, Trainer
from sordino.version import commit

FOLDERS = ("root", "clean", "noise", "noisy")
"""Keys of the sources' arguments that name folders without which nothing can be trained."""


def build_network(model: Component | Pretrained) -> Enhancer:
    """Build the network of a recipe: with fresh weights, or with those of a checkpoint, to go on from.

    Raises:
        InputError: as ``sordino.models.create`` and ``sordino.models.load`` do.
    """
    if isinstance(model, Pretrained):
        return models.load(model.checkpoint).train()
    return models.create(model.name, **model.arguments)


def build_source(data: Component) -> Source:
    """Make the source of data that a recipe names.

    Raises:
        InputError: no recordings there, or whatever else is wrong with them.
    """
    if data.name in sources.SOURCES:
        _demand_folders(data)
    return sources.create(data.name, **data.arguments)


def _demand_folders(data: Component) -> None:
    """Refuse a folder of training data that is not there, by the key that names it."""
    for key in FOLDERS:
        folder = data.arguments.get(key)
        if not isinstance(folder, str):
            continue
        try:
            demand_folder(folder)
        except InputError as error:
            hint = f"set data.{key}=FOLDER to where yours is; docs/data.md says where to get one"
            if error.hint.endswith("makes it"):
                hint = error.hint
            raise InputError(error.where, error.found, hint=hint) from error


def build_objective(recipe: Recipe, student: Enhancer, teacher: AnyTeacher | None) -> Objective:
    """Build the objective that the student of a recipe minimises.

    Raises:
        InputError: a loss or method that its arguments do not make, a weight for no term, or parts that do not fit
            together.
    """
    taught = {name: methods.create(name, **arguments) for name, arguments in recipe.methods.items()}
    terms = {name: losses.create(name, **arguments) for name, arguments in recipe.losses.items()}
    staged = [stage.weights for stage in recipe.stages]
    return Objective(terms, taught, student, teacher, recipe.weights, staged)


def build_trainer(recipe: Recipe, folder: Path) -> Trainer:
    """Build the trainer of a recipe; nothing is written yet.

    Args:
        recipe: what to train.
        folder: of the run.

    Raises:
        InputError: parts that do not fit together.
    """
    demand_origins(recipe)
    torch.manual_seed(recipe.train.seed)
    source = training_source(recipe)
    student = build_network(recipe.model)
    objective = build_objective(recipe, student, build_teacher(recipe, student.sample_rate))
    about = {"recipe": recipe.to_mapping(), "data": source.name, "synthetic": source.synthetic, "commit": commit()}
    learnt = learns_from(recipe)
    about |= {loss: loss in learnt for loss in METRICS}
    pretrained = isinstance(recipe.model, Pretrained)
    return Trainer(student, objective, source, recipe.train, folder, about, recipe.stages, pretrained)


def training_source(recipe: Recipe) -> Source:
    """The data of a recipe, with unlabelled recordings mixed in, and in as many variants as its teacher's cache has."""
    source = build_source(recipe.data)
    if recipe.unlabelled is not None:
        source = sources.SemiSupervised(source, recipe.unlabelled.noisy, recipe.unlabelled.share)
    variants = None if recipe.teacher is None else recipe.teacher.variants
    return source if variants is None else sources.FixedAugmentation(source, variants)


def learns_from(recipe: Recipe) -> Losses:
    """Return the losses that are metrics on which a network of this recipe is trained: by the recipe's own losses, by
    those of the checkpoint that it goes on from, or by those of a teacher.
    """
    learnt = list(recipe_trains_on(recipe.to_mapping()))
    for source in origins(recipe):
        if source.kind in ("shipped", "checkpoint") and source.checkpoint.is_file():
            learnt += trained_on({"about": models.read_about(source.checkpoint)})
    return ordered(learnt)
