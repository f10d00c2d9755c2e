"""A study as a file: which file a name stands for, and what it takes over from the study that is its base.

What a study states stands in place of the same key of its base, and is not merged with it. ``title``, ``out``, ``note``
and ``paper`` belong to one study and are never taken over.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sordino.assets import STUDIES, recipes, studies
from sordino.errors import InputError, did_you_mean
from sordino.experiments.merge import is_recipe, parse_file
from sordino.experiments.schema import OWN
from sordino.plugins.modules import trust_names

_NOT_INHERITED = {*OWN, "note"}


def load_study(study: str | Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read the keys of a study and of its bases.

    Args:
        study: a YAML file, or the name of a study that ships.
        seen: the files that have led here, each by its ``base``.

    Returns:
        The keys, unchecked; ``recipe`` is a path where it names a file beside the study.

    Raises:
        InputError: no such file, a recipe, no YAML, or bases in a circle.
    """
    path = find_study(study, seen[-1].parent if seen else Path())
    if path.resolve() in seen:
        raise InputError(study, "its base leads back to itself")
    stated = parse_file(path)
    if is_recipe(stated):
        command = shlex.join(["sordino", "train", str(path)])
        raise InputError(path, "is a recipe, which trains one network", "a study", command)
    trust_names(stated, path.parent)
    beside = path.parent / str(stated.get("recipe", ""))
    if os.path.isfile(beside):
        stated["recipe"] = str(beside)
    base = stated.pop("base", None)
    if base is None:
        return stated
    inherited = load_study(str(base), (*seen, path.resolve()))
    return {key: value for key, value in inherited.items() if key not in _NOT_INHERITED} | stated


def find_study(study: str | Path, beside: Path = Path()) -> Path:
    """The file of a study: beside the one that names it, at the path given, or among those that ship.

    Raises:
        InputError: no such file.
    """
    for candidate in (beside / study, Path(study), STUDIES / f"{study}.yaml"):
        if os.path.isfile(candidate):
            return candidate
    hint = did_you_mean(str(study), studies(), cutoff=0.4)
    if str(study) in recipes():
        hint = f"it is a recipe: {shlex.join(['sordino', 'train', str(study)])}"
    raise InputError(study, "no such study", f"a YAML file, or one of {', '.join(studies())}", hint)


def check_changes(where: str, changes: Mapping[str, Any]) -> None:
    """Check what a method or a scenario of a study changes in its recipe.

    Args:
        where: the method or scenario, for messages.
        changes: as the study states them.

    Raises:
        InputError: it changes what a study sets for each of its runs: title, folder, row of the paper or seed.
    """
    for key in ("title", "out", "paper"):
        if key in changes:
            raise InputError(f"{where}.{key}", "each run of a study has its own", hint="leave it out")
    train = changes.get("train")
    if isinstance(train, Mapping) and "seed" in train:
        raise InputError(f"{where}.train.seed", "the study has the seeds", hint="list them in its seeds")
