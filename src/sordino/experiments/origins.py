"""The checkpoints that a recipe starts from or learns from, and the recipe that made a checkpoint."""

from __future__ import annotations

import shlex
from pathlib import Path

from sordino.assets import CHECKPOINTS, RECIPES, nearest_student, recipes
from sordino.errors import InputError, MissingFile
from sordino.evaluation.score import NOISY
from sordino.experiments.merge import parse_file
from sordino.experiments.recipe import Recipe, read_data
from sordino.experiments.run_recipe import RECIPE
from sordino.experiments.schema import Component, Pretrained
from sordino.inference.resolve import ModelSource, resolve
from sordino.plugins.modules import demand_names


def origins(recipe: Recipe) -> list[ModelSource]:
    """Return the models that a recipe names: the student to continue from, if there is one, and the teachers."""
    student = [recipe.model.checkpoint] if isinstance(recipe.model, Pretrained) else []
    teachers = [] if recipe.teacher is None else recipe.teacher.models()
    return [*(resolve(word, otherwise="checkpoint") for word in student), *teachers]


def demand_origins(recipe: Recipe) -> None:
    """Check that the checkpoints which a recipe names are there, and the graphs of its teachers.

    Raises:
        InputError: one is missing; of a checkpoint the hint is the command that makes it.
    """
    for source in origins(recipe):
        if source.kind == "checkpoint" and not source.file.is_file():
            raise untrained(source.file)
    if recipe.teacher is not None:
        recipe.teacher.demand_files()


def untrained(checkpoint: Path) -> InputError:
    """Return the error for a missing checkpoint; the hint is a similar name, or the command that makes it."""
    folder = checkpoint.parent if checkpoint.name.endswith(CHECKPOINTS) else checkpoint  # of a run that has not begun
    hint = nearest_student(checkpoint) or f"train it first: {_command(folder)}"
    return MissingFile(checkpoint, "no such file", "a checkpoint", hint)


def data_of(checkpoint: str | Path | ModelSource) -> Component:
    """Return the data of the recipe that a checkpoint's header carries.

    Raises:
        InputError: no model, no checkpoint, or one that was not trained from a recipe.
    """
    source = resolve(checkpoint, otherwise="recipe")
    if source.kind == "recipe" and str(checkpoint) != NOISY:
        resolve(checkpoint)  # raises: it is no model
    if source.kind != "checkpoint":
        raise InputError("data", "no recordings to score on", "--data NOISY CLEAN or --recipe RECIPE")
    from sordino.models import read_about  # imports torch, which no other question here needs

    path = source.file
    stored = read_about(path).get("recipe")
    if stored is None:
        raise InputError(path, "was not trained from a recipe", hint="give --data NOISY CLEAN or --recipe RECIPE")
    demand_names(stored["data"], path)
    return read_data({"data": stored["data"]})


def _command(folder: Path) -> str:
    """The command whose run ends up in a folder."""
    if (folder / RECIPE).is_file():
        return shlex.join(["sordino", "train", str(folder / RECIPE), "--out", str(folder), "--resume"])
    files = {name: RECIPES / f"{name}.yaml" for name in recipes()}
    files |= {str(path): path for path in sorted(Path().glob("*.yaml"))}
    for recipe, path in files.items():
        try:
            out = parse_file(path).get("out")  # never inherited, so that no base is read
        except InputError:
            continue  # not a recipe
        if Path(str(out or Path("runs") / path.stem)) == folder:
            return shlex.join(["sordino", "train", recipe])
    return shlex.join(["sordino", "train", "RECIPE", "--out", str(folder)])
