"""Recipes: YAML that is checked, whole, against the constructors that it will call.

A recipe's sections are the project's nouns::

    base: valentini.yaml          # another recipe that this one changes; beside it, or one that ships
    title: MANNER-S-1.5GF + MV-AT
    out: runs/manner-s-1.5gf-mvat
    data: {name: valentini, root: data/valentini}
    model: {name: manner-s, hidden: 12, depth: 3}           # or checkpoint: FILE, to go on from what it has learnt
    teacher: {checkpoint: runs/manner-b/best.safetensors}   # or onnx: FILE, or callable: package.module:function
    loss: {weighted: {}}
    distill: {mvat: {norm: l1}}
    weights: {kd/mvat: 1.0}                                 # or {balance: 0.5}, or {ramp: linear, steps: 1000}
    train: {epochs: 350, batch_size: 4}
    stages: [{share: 0.3, weights: {loss/weighted: 0}}, {reset: true}]
    unlabelled: {noisy: recordings/, share: 0.5}
    paper: {table: 1, row: MANNER-S-1.5GF + MV-AT}

``sordino.experiments.schema`` says what may stand in each. Every error of a recipe is told at once, with the nearest
valid name.

A recipe says only how it differs from its base. Sections merge key by key; null takes away a section, or an entry of
``loss``, ``distill`` or ``weights``; a section that names another constructor, or a teacher of another kind, keeps none
of the base's arguments; and ``title``, ``out`` and ``paper``, which say whose run it is, are never inherited.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from sordino.assets import RECIPES, recipes
from sordino.errors import InputError
from sordino.experiments.schema import OWN, PARTS, TEACHERS, check

RECIPE = "recipe.yaml"
"""The file in a run's folder that says what it computes."""
# What a resumed run may change. Nothing here changes what is computed; other threads or another device round otherwise.
_FREE = {
    ("train", "workers"),
    ("train", "threads"),
    ("train", "accelerator"),
    ("train", "log_every"),
    ("title",),
    ("out",),
}


def read(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    layers: Sequence[Mapping[str, Any]] = (),
    needed: Sequence[str] = ("model", "data"),
) -> dict[str, Any]:
    """Read a recipe, follow its ``base``, apply the overrides and check everything.

    Args:
        recipe: a YAML file, the name of a shipped recipe, or the recipe itself.
        overrides: ``key=value`` with dots between the levels of the key: ``train.steps=100``. Together they are laid
            over the recipe as a recipe is over its base.
        layers: mappings to lay over the recipe first, one after the other.
        needed: the sections that it cannot do without.

    Returns:
        The recipe with all values of the right type, without defaults that it does not state.

    Raises:
        InputError: no such recipe, no YAML, or errors in it, all of which the message tells.
    """
    where = str(recipe) if isinstance(recipe, (str, Path)) else "recipe"
    values = _load(recipe) if isinstance(recipe, (str, Path)) else _based(deepcopy(dict(recipe)), ())
    for layer in (*layers, _changes(overrides)):
        values = _merge(values, layer)
    checked, errors = check(values, needed)
    if errors:
        raise InputError(where, "; ".join(errors))
    return checked


def _load(recipe: str | Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = _find(recipe, seen[-1].parent if seen else Path())
    if path.resolve() in seen:
        raise InputError(recipe, "its base leads back to itself")
    try:
        values = parse(path.read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as error:
        raise InputError(path, "not a text file", "a recipe in YAML") from error
    if not isinstance(values, dict):
        raise InputError(path, "no recipe", "keys and values in YAML")
    return _based(values, (*seen, path.resolve()))


def _based(values: dict[str, Any], seen: tuple[Path, ...]) -> dict[str, Any]:
    """``values`` laid over the recipe that their ``base`` names, if they have one."""
    base = values.pop("base", None)
    if base is None:
        return values
    inherited = {key: value for key, value in _load(str(base), seen).items() if key not in OWN}
    return _merge(inherited, values)


def _find(recipe: str | Path, beside: Path) -> Path:
    """The file of a recipe: beside the one that names it, at the path given, or among those that ship."""
    name = str(recipe)
    candidates = [beside / name, Path(name), Path(str(RECIPES / name)), Path(str(RECIPES / f"{name}.yaml"))]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    near = difflib.get_close_matches(name, recipes(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else "sordino train --help lists those that ship"
    raise InputError(recipe, "no such recipe", "a YAML file or the name of a shipped recipe", hint)


def parse(text: str, where: object) -> Any:
    """What a text in YAML says; ``where`` names it in an error."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(where, f"not YAML ({' '.join(str(error).split())})") from error


def _changes(overrides: Sequence[str]) -> dict[str, Any]:
    """The overrides as one mapping, so that their order plays no part where one of them names a constructor."""
    changes: dict[str, Any] = {}
    for override in overrides:
        key, sign, text = override.partition("=")
        *sections, last = key.split(".")
        if not sign or not last:
            raise InputError(override, "no override", "key=value, such as train.steps=100")
        values = changes
        for section in sections:
            inner = values.get(section)
            values[section] = inner if isinstance(inner, dict) else {}
            values = values[section]
        values[last] = parse(text, override)
    return changes


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any], within: tuple[str, ...] = ()) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, mapping by mapping; see the top of this file.

    An argument that is null is set to None, which its default need not be.
    """
    merged = dict(base)
    removable = not within or (len(within) == 1 and within[0] in (*PARTS, "weights"))
    for key, value in changes.items():
        mine = merged.get(key)
        if value is None and removable and (key in merged or not within):
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(mine, Mapping) and _extends(mine, value):
            merged[key] = _merge(mine, value, (*within, key))
        else:
            merged[key] = deepcopy(value)
    return merged


def _extends(base: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    """Whether ``changes`` speak of the same constructor, and the same kind of teacher, as the section below them."""
    kinds = [kind for kind in TEACHERS if changes.get(kind) is not None]
    return changes.get("name") in (None, base.get("name")) and all(base.get(kind) is not None for kind in kinds)


def flat(values: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value of a nested mapping by the keys that lead to it."""
    if not isinstance(values, dict) or (prefix and not values):  # a loss or a method may have no arguments
        return {prefix: values}
    return {key: value for name, inner in values.items() for key, value in flat(inner, (*prefix, name)).items()}


def plain(value: Any) -> Any:
    """Tuples as lists, which YAML and JSON can both hold."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def same_recipe(folder: Path, values: Mapping[str, Any]) -> None:
    """Refuse to go on with a run by another recipe, which would be neither the one nor the other.

    Raises:
        InputError: no run there, or one whose recipe differs where it matters; the first difference is named.
    """
    path = folder / RECIPE
    if not path.is_file():
        raise InputError(folder, "no run to resume here", f"a folder with {RECIPE}", "start it without --resume")
    before, now = flat(yaml.safe_load(path.read_text("utf-8"))), flat(plain(values))
    changed = [key for key in before | now if before.get(key) != now.get(key) and key not in _FREE]
    if changed:
        key = changed[0]
        found = f"{'.'.join(key)} is {now.get(key)!r}, but the run began with {before.get(key)!r}"
        raise InputError(folder, found, "the same recipe", "set it back, or choose another --out")
