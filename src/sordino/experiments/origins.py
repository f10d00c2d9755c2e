"""The checkpoints of other runs that a recipe begins with or is taught by, and how to get those that are missing."""

from __future__ import annotations

from pathlib import Path

from sordino.assets import RECIPES, recipes
from sordino.errors import InputError
from sordino.experiments.merge import parse_file
from sordino.experiments.recipe import RECIPE, Recipe
from sordino.experiments.schema import Pretrained
from sordino.inference.resolve import ModelSource, resolve


def origins(recipe: Recipe) -> list[ModelSource]:
    """Return the models that a recipe names: the student that goes on, if one does, and the teachers."""
    words = [recipe.model.checkpoint] if isinstance(recipe.model, Pretrained) else []
    words += [] if recipe.teacher is None else recipe.teacher.models()
    return [resolve(word, otherwise="checkpoint") for word in words]


def demand_origins(recipe: Recipe) -> None:
    """Check that the checkpoints which a recipe names are there.

    Raises:
        InputError: one is missing; the hint is the command that makes it.
    """
    for source in origins(recipe):
        if source.kind == "checkpoint" and not source.file.is_file():
            hint = f"train it first: {_command(source.file.parent)}"
            raise InputError(source.file, "no such file", "a checkpoint", hint)


def _command(folder: Path) -> str:
    """The command whose run ends up in a folder."""
    if (folder / RECIPE).is_file():
        return f"sordino train {folder / RECIPE} --out {folder} --resume"
    files = {name: RECIPES / f"{name}.yaml" for name in recipes()}
    files |= {str(path): path for path in sorted(Path().glob("*.yaml"))}
    for recipe, path in files.items():
        try:
            out = parse_file(path).get("out")  # never inherited, so that no base is read
        except InputError:
            continue  # not a recipe
        if Path(str(out or Path("runs") / path.stem)) == folder:
            return f"sordino train {recipe}"
    return f"sordino train RECIPE --out {folder}"
