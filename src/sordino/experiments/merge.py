"""Recipes as text and mappings: YAML files, their bases, and what is laid over them. Nothing is checked here.

Sections merge key by key; null takes away a section, or an entry of ``loss``, ``distill`` or ``weights``; a section
that names another constructor, or a teacher of another kind, keeps none of the base's arguments; and ``title``, ``out``
and ``paper``, which say whose run it is, are never inherited.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from sordino.assets import RECIPES, recipes, studies
from sordino.errors import InputError, did_you_mean
from sordino.experiments.schema import DEFAULT_LOSS, KEYS, OWN, PARTS
from sordino.experiments.teacher_kinds import TEACHERS
from sordino.files import read_text
from sordino.json_files import DEEPEST
from sordino.plugins.modules import trust_names

KEY = re.compile(r"(?<=\.)[^:]+:[^.]+|[^.]+")
"""One key of ``distill.package.module:Class.power``, which has three."""


WEIGHTS = ("balance", "ramp")
"""The key by which a weight is known for one that is measured, or one that moves."""

LARGEST, MOST = 1 << 20, 100_000
"""Bytes of a recipe or a study, and values in it, those that stand for others counted as often as they are read."""


OF_RECIPES, OF_STUDIES = {*KEYS} - {*OWN}, {"recipe", "methods", "scenarios", "seeds"}
"""Keys that recipes alone have, and keys that studies alone have."""


def is_recipe(stated: Mapping[str, Any]) -> bool:
    """Whether a file has keys of a recipe and none of a study."""
    return not OF_RECIPES.isdisjoint(stated) and OF_STUDIES.isdisjoint(stated)


def is_study(stated: Mapping[str, Any]) -> bool:
    """Whether a file has keys of a study and none of a recipe."""
    return not OF_STUDIES.isdisjoint(stated) and OF_RECIPES.isdisjoint(stated)


def load(recipe: str | Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a file, or a recipe that ships by its name, and lay it over its base.

    Args:
        recipe: the file or the name.
        seen: the files that have led here, each by its ``base``.

    Raises:
        InputError: no such recipe, no recipe in YAML, or bases in a circle.
    """
    path = _find(recipe, seen[-1].parent if seen else Path())
    if path.resolve() in seen:
        raise InputError(recipe, "its base leads back to itself")
    values = parse_file(path)
    if is_study(values):
        command = shlex.join(["sordino", "study", str(path)])
        raise InputError(path, "is a study", "a recipe, which trains one network", command)
    trust_names({key: value for key, value in values.items() if key != "teacher"}, path.parent)
    trust_names(values.get("teacher"), path.parent, Path())  # a function that teaches may lie in the working folder
    return on_base(values, (*seen, path.resolve()))


def on_base(values: dict[str, Any], seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Merge ``values`` into the recipe that their ``base`` names, if they have one; arguments as for ``load``."""
    base = values.pop("base", None)
    if base is None:
        return values
    inherited = {key: value for key, value in load(str(base), seen).items() if key not in OWN}
    return merge(inherited, values)


def _find(recipe: str | Path, beside: Path) -> Path:
    """The file of a recipe: beside the one that names it, at the path given, or among those that ship."""
    name = str(recipe)
    candidates = [beside / name, Path(name), Path(str(RECIPES / name)), Path(str(RECIPES / f"{name}.yaml"))]
    for candidate in candidates:
        if os.path.isfile(candidate):  # which says no to a name that is too long
            return candidate
    hint = did_you_mean(name, recipes(), cutoff=0.4) or "sordino train --help lists those that ship"
    if name in studies():
        hint = f"it is a study: {shlex.join(['sordino', 'study', name])}"
    raise InputError(recipe, "no such recipe", "a YAML file or the name of a shipped recipe", hint)


def parse_file(path: Path) -> dict[str, Any]:
    """Read a recipe or a study in YAML.

    Raises:
        InputError: it is none.
    """
    values = parse(read_text(path, LARGEST), path)
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(path, "no recipe", "keys and values in YAML")
    return values


def parse(text: str, where: object) -> Any:
    """Read a text in YAML; ``where`` names it in an error."""
    try:
        _check_size(text)
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, TypeError) as error:  # the latter two of values, such as a month 99
        text = str(error).replace('in "<unicode string>", ', "at ")  # the parser's name for what it was given
        raise InputError(where, f"not YAML ({' '.join(text.split())})") from error


def _check_size(text: str) -> None:
    """Refuse YAML that would take too much memory: values that hold themselves, aliases that multiply, and nesting so
    deep that the parser in C ends the process."""
    sizes: dict[str, int] = {}  # anchor -> number of values below it
    above: list[tuple[str | None, int]] = []  # the open collections: their anchors, and the count when they began
    count = 0
    for event in yaml.parse(text, _Loader):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = above.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == one for one, _ in above):
                raise yaml.YAMLError(f"{anchor} holds itself")
            count += sizes.get(str(anchor), 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            above.append((anchor, count))
        elif anchor is not None:
            sizes[anchor] = 1
        count += 1
        if len(above) > DEEPEST or count > MOST:
            raise yaml.YAMLError(f"more than {DEEPEST} lists inside each other, or {MOST:,} values")


# The same safe values from the parser in C, which is ten times as fast, where PyYAML was built with it.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """Loader that refuses a key that appears twice; YAML itself would silently drop the first one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key.value, str):
                raise yaml.YAMLError(f"line {line} has a key that is no text")
            if key.value in lines and key.tag != "tag:yaml.org,2002:merge":
                found = f"line {line} has {key.value} again, which line {lines[key.value]} has already"
                raise yaml.YAMLError(found)
            lines[key.value] = line
        return super().construct_mapping(node, deep)


def overriding(overrides: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` texts as one mapping, so that their order plays no part where one names a constructor.

    Raises:
        InputError: a text that is no ``key=value``, or a value that is no YAML.
    """
    return _nested([_change(override) for override in overrides])


def layered(overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Read ``key=value`` texts as two mappings, to be merged into a recipe one after the other.

    ``distill=null`` beside ``distill.rkd={}``, or before ``distill={rkd: {}}``, replaces all methods: it goes first.

    Raises:
        InputError: as ``overriding``.
    """
    changes = [_change(override) for override in overrides]
    removals, others = [], []
    for place, (keys, value) in enumerate(changes):
        below = any(other[: len(keys)] == keys and len(other) > len(keys) for other, _ in changes)
        again = any(other == keys for other, _ in changes[place + 1 :])
        (removals if value is None and (below or again) else others).append((keys, value))
    return [_nested(removals), _nested(others)]


def _change(override: str) -> tuple[list[str], Any]:
    """Read one ``key=value`` as the keys that lead to the value, and the value."""
    key, sign, text = override.partition("=")
    keys = KEY.findall(key) if ":" in key else key.split(".")
    if not sign or not keys[-1]:
        raise InputError(override, "no override", "key=value, such as train.steps=100")
    return keys, parse(text, override)


def _nested(changes: Iterable[tuple[list[str], Any]]) -> dict[str, Any]:
    """Put changes into one mapping; where two have the same keys, the later one holds."""
    nested: dict[str, Any] = {}
    for (*sections, last), value in changes:
        values = nested
        for section in sections:
            if not isinstance(values.get(section), dict):
                values[section] = {}
            values = values[section]
        values[last] = value
    return nested


def merge(base: Mapping[str, Any], changes: Mapping[str, Any], within: tuple[str, ...] = ()) -> dict[str, Any]:
    """Merge ``changes`` into ``base``, mapping by mapping; see the top of this file.

    An argument that is null is set to None, which its default need not be.

    Args:
        base: stays as it is.
        changes: what differs from it.
        within: the keys that lead to the two.
    """
    merged = dict(base)
    removable = not within or (len(within) == 1 and within[0] in (*PARTS, "weights"))
    for key, value in changes.items():
        below = merged.get(key)
        if below is None and not within and key == "loss" and _leaves_out_default(value):
            below = DEFAULT_LOSS
        # A section that is unknown stays, so that the mistake is reported.
        if value is None and removable and (key in merged or (not within and key in KEYS)):
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(below, Mapping) and _extends(below, value):
            merged[key] = merge(below, value, (*within, key))
        else:
            merged[key] = deepcopy(value)
    return merged


def _leaves_out_default(losses: Any) -> bool:
    """Whether a section ``loss`` takes away the loss that a recipe without that section has."""
    return isinstance(losses, Mapping) and any(name in losses and losses[name] is None for name in DEFAULT_LOSS)


def _extends(base: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    """Whether ``changes`` have the same constructor, and the same kind of teacher or weight, as what they change."""
    if changes.get("name") not in (None, base.get("name")):
        return False
    kinds = [kind for kind in (*TEACHERS, *WEIGHTS) if changes.get(kind) is not None]
    return all(base.get(kind) is not None for kind in kinds)
