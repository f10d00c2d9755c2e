"""The recipe in the folder of a run: written when the run begins, and compared when it is resumed."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from sordino.assets import RUN_RECIPE
from sordino.errors import InputError, written
from sordino.experiments.merge import parse_file
from sordino.experiments.recipe import Recipe, RecipeLike, flat, read
from sordino.experiments.schema import PARTS
from sordino.files import write_text
from sordino.json_files import read_json, write_json
from sordino.plugins.modules import demand_names
from sordino.training.settings import UNREAD, Settings
from sordino.training.state import LAST, STATE

RECIPE = RUN_RECIPE
"""The file in a run's folder that says what it computes."""
RECOVERY = (("train", "max_lr"), ("train", "grad_clip"))
"""Keys that a resumed run may change: a run that diverged needs other values."""
BEGAN = "began.json"
"""The file in a run's folder with the values of ``RECOVERY`` with which it began."""
# Keys that any resumed run may change: they do not change what is computed, but threads and devices round differently.
_FREE = {
    ("train", "workers"),
    ("train", "threads"),
    ("train", "accelerator"),
    ("train", "log"),
    ("train", "log_every"),
    ("title",),
    ("out",),
}


def read_run(folder: Path) -> Recipe:
    """Read the recipe that a run's folder holds.

    Raises:
        InputError: it names code of the user's, which he has not named himself.
    """
    path = folder / RECIPE
    values = _stored(folder)
    demand_names({key: value for key, value in values.items() if key != "teacher"}, path)
    return read(values)


def write_recipe(folder: Path, recipe: Recipe, given: RecipeLike = "") -> None:
    """Write a recipe into the folder of its run.

    Raises:
        InputError: that would replace the file ``given``, which it was read from, by other words.
    """
    path = folder / RECIPE
    if isinstance(given, str | Path) and path.is_file() and os.path.exists(given) and path.samefile(given):
        if path.read_text("utf-8") != _text(recipe):
            raise InputError(path, "is the recipe itself, which would be written over", hint="choose another folder")
        return
    write_text(path, _text(recipe, folder))


def holds_other_recipe(folder: Path, recipe: Recipe) -> bool:
    """Return whether ``write_recipe`` would replace a recipe that differs, if only in its comments."""
    path = folder / RECIPE
    if not path.is_file():
        return False
    try:
        parse_file(path)
    except InputError:
        return False  # nothing that could be trained
    return path.read_text("utf-8") not in (_text(recipe), _text(recipe, folder))


def _text(recipe: Recipe, folder: Path | None = None) -> str:
    """Return a recipe in YAML, for the folder of its run if that is given."""
    values = recipe.to_mapping()
    if folder is not None and values.get("out"):  # so that its recipe alone resumes a run, and no other one
        values["out"] = str(folder)
    return yaml.safe_dump(values, sort_keys=False)


def same_recipe(folder: Path, recipe: Recipe, but: Collection[tuple[str, ...]] = ()) -> bool:
    """Refuse to resume a run with another recipe.

    Args:
        folder: of the run.
        recipe: what it is to go on with.
        but: keys that may differ.

    Returns:
        Whether some of ``but`` do.

    Raises:
        InputError: no run there, or one whose recipe differs where it matters; the first difference is named.
    """
    path = folder / RECIPE
    if not path.is_file():
        hint = f"put its {RECIPE} back" if (folder / STATE).exists() else "start it without --resume"
        raise InputError(folder, "no run to resume here", f"a folder with {RECIPE}", hint)
    began, stated = _stored(folder), recipe.to_mapping()
    _same_order(folder, began, stated)
    before, now = flat(began), flat(stated)
    some_differ = False
    for key in before | now:
        if key in _FREE or _value(before, key) == _value(now, key):
            continue
        if key not in but:
            first = _beginning(folder).get(".".join(key), _value(before, key))
            found = f"{'.'.join(key)} is {written(_value(now, key))}, but the run began with {written(first)}"
            hint = "set it back, or give the run another folder"
            if key in (("train", "steps"), ("train", "epochs")):
                hint += f"; to train longer, begin a run with model.checkpoint={folder / LAST}"
            raise InputError(folder, found, "the same recipe", hint)
        some_differ = True
    return some_differ


def _stored(folder: Path) -> dict[str, Any]:
    """Return the recipe of a run, without settings that have no effect: an older version accepted those."""
    values = parse_file(folder / RECIPE)
    train = values.get("train")
    if isinstance(train, dict):
        unread = UNREAD.get(train.get("schedule", Settings.schedule), {})
        values["train"] = {key: value for key, value in train.items() if key not in unread}
    return values


def _same_order(folder: Path, began: Mapping[str, Any], stated: Mapping[str, Any]) -> None:
    """Refuse losses or methods in another order, in which other weights would be drawn for what they learn."""
    for section in PARTS:
        before, now = list(began.get(section) or {}), list(stated.get(section) or {})
        if before != now and set(before) == set(now):
            found = f"{section} lists {', '.join(now)}, but the run began with {', '.join(before)}"
            raise InputError(folder, found, "the same order", "set it back, or give the run another folder")


def _value(stated: Mapping[tuple[str, ...], Any], key: tuple[str, ...]) -> Any:
    """Return the value of a key; of the section ``train``, the default where none is stated."""
    if key not in stated and len(key) == 2 and key[0] == "train":
        return getattr(Settings(), key[1], None)
    return stated.get(key)


def keep_beginning(folder: Path, recipe: Recipe) -> None:
    """Store in the folder of a run the values of ``RECOVERY`` with which it begins."""
    values = flat(recipe.to_mapping())
    write_json(folder / BEGAN, {".".join(key): _value(values, key) for key in RECOVERY})


def _beginning(folder: Path) -> dict[str, Any]:
    """Return what ``keep_beginning`` stored; runs of older versions have nothing there."""
    path = folder / BEGAN
    return read_json(path, dict[str, Any], "settings with which a run began") if path.is_file() else {}


def as_resumed(folder: Path, recipe: Recipe) -> Recipe:
    """Return the recipe with which a run goes on.

    A run that was resumed at another rate keeps it as long as ``recipe`` states the rate with which the run began. Any
    other rate is a change by the user, and stays.
    """
    if not (folder / RECIPE).is_file():
        return recipe
    latest, stated = flat(_stored(folder)), flat(recipe.to_mapping())
    began, changes = _beginning(folder), {}
    for key in RECOVERY:
        value = _value(latest, key)
        if _value(stated, key) == began.get(".".join(key), value) != value:
            changes[key[1]] = value
    return read(recipe, layers=[{"train": changes}]) if changes else recipe


def stated_rate(recipe: Recipe) -> str:
    """Return the values of ``RECOVERY`` in a recipe, as they are set on the command line."""
    values = flat(recipe.to_mapping())
    return ", ".join(f"{'.'.join(key)}={written(_value(values, key))}" for key in RECOVERY)
