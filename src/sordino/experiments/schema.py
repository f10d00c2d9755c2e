"""The sections of a recipe: their types, and how they are made of what YAML says, with every error at once.

Under ``model``, ``data`` and each entry of ``loss`` and ``distill`` stand the arguments of the constructor of that
name, so their signature is the schema; the other sections, and a ``model`` that is trained already, are dataclasses,
here or where they are used.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sordino.errors import InputError, written
from sordino.experiments.recipe_values import arguments, construct, unknown, value
from sordino.experiments.signatures import CATALOGUES, Signature, catalogue, named
from sordino.experiments.teacher_section import TeacherSection
from sordino.plugins.catalogue import Kind
from sordino.training import Balance, Ramp, Settings, Stage, Weight

Arguments = Mapping[str, Any]
"""Of a constructor, by name, with their right types."""


@dataclass(frozen=True)
class Component:
    """A network or a source of data: its name in the catalogue, and the arguments of its constructor."""

    name: str
    arguments: Arguments = field(default_factory=dict)


@dataclass(frozen=True)
class Pretrained:
    """A trained network to continue from: its size and its weights.

    Args:
        checkpoint: one of sordino's (.safetensors, or the name of a student that ships), or a published one.
    """

    checkpoint: str


@dataclass(frozen=True)
class Unlabelled:
    """Noisy recordings without references, beside the labelled data.

    Args:
        noisy: folder of them.
        share: of the training items that come from it.
    """

    noisy: str
    share: float = 0.5


@dataclass(frozen=True)
class Paper:
    """The published row that this recipe reproduces.

    Args:
        table: its table.
        row: its model, as the table names it.
    """

    table: int
    row: str


NAMED: dict[str, Kind] = {"model": "network", "data": "source"}
PARTS: dict[str, Kind] = {"loss": "loss", "distill": "method"}
DEFAULT_LOSS: dict[str, dict[str, Any]] = {"weighted": {}}
"""The losses of a recipe without a section ``loss``."""
PLAIN: dict[str, Callable[..., Any]] = {
    "train": Settings,
    "teacher": TeacherSection,
    "unlabelled": Unlabelled,
    "paper": Paper,
}
TEXTS = ("title", "out")
OWN = (*TEXTS, "paper")
"""What says whose run it is, and is never inherited from a base."""
KEYS = (*TEXTS, *NAMED, *PARTS, *PLAIN, "weights", "stages")


class Section(NamedTuple):
    """A section that was read."""

    stated: Any
    """What the recipe says, as plain values of the right types."""
    made: Any
    """What was made of it: a dataclass, or a mapping of names to arguments or weights."""


def check(values: Mapping[str, Any], needed: Sequence[str]) -> tuple[dict[str, Section], list[str]]:
    """Read every section, and find every error in them.

    Args:
        values: a recipe as YAML gave it, bases and overrides included.
        needed: sections that must be there.

    Returns:
        The sections by key, and the errors; with errors the sections are not all whole.
    """
    errors: list[str] = []
    sections: dict[str, Section] = {}
    for key, given in values.items():
        if key not in KEYS:
            section = section_of(str(key))
            near = f"{key}: no such key; did you mean {section}.{key}?" if section else None
            errors.append(near or unknown(str(key), ("base", *KEYS)))
        elif key in TEXTS and given is None:
            continue  # an empty line is as good as none
        elif key in TEXTS:
            sections[key] = Section(str(given), str(given))
        elif key == "stages":
            sections[key] = _stages(given, errors)
        elif isinstance(given, Mapping):
            sections[key] = _section(key, given, errors)
        else:
            errors.append(f"{key}: {written(given)} is no section; expected keys and values below it")
    errors += [f"{key}: missing; expected a section" for key in needed if key not in values]
    return sections, errors


def section_of(setting: str) -> str | None:
    """Return the section that has a setting of this name, such as ``train`` for ``steps``; None if none has."""
    for section, constructor in PLAIN.items():
        if setting in inspect.signature(constructor).parameters:
            return section
    return None


def _section(key: str, given: Mapping[str, Any], errors: list[str]) -> Section:
    if key == "model" and "checkpoint" in given:
        return _plain(key, Pretrained, given, errors)
    if key in NAMED:
        return _named(key, given, errors)
    if key in PARTS:
        parts = {str(name): _part(key, str(name), inner, errors) for name, inner in given.items()}
        return Section(parts, parts)
    if key in PLAIN:
        return _plain(key, PLAIN[key], given, errors)
    return _weights(key, given, errors)


def _plain(key: str, constructor: Callable[..., Any], given: Mapping[str, Any], errors: list[str]) -> Section:
    """A dataclass; it states what was given, which need not be all that it holds."""
    made = construct(key, constructor, given, errors)
    return Section({name: getattr(made, str(name), None) for name in given}, made)


def _named(key: str, given: Mapping[str, Any], errors: list[str]) -> Section:
    rest = dict(given)
    name = str(rest.pop("name", ""))
    if not name:
        known = catalogue(*CATALOGUES[NAMED[key]])
        errors.append(f"{key}.name: missing; expected one of {', '.join(known)}, or package.module:Class")
        return Section({}, None)
    taken = _taken(NAMED[key], name, f"{key}.name: {name}", errors)
    if taken is None:
        return Section({}, None)
    converted = arguments(key, taken, rest, errors)
    return Section({"name": name, **converted}, Component(name, converted))


def _taken(kind: Kind, name: str, key: str, errors: list[str]) -> Signature | None:
    """Arguments of a member of a catalogue; None if there is none of that name, which is added to ``errors``."""
    try:
        return named(kind, name)
    except InputError as error:
        errors.append(str(InputError(key, error.found, error.expected, error.hint)))
        return None


def _part(key: str, name: str, given: Any, errors: list[str]) -> dict[str, Any]:
    """The arguments of one loss or method."""
    if not isinstance(given, Mapping):
        errors.append(
            f"{key}.{name}: {written(given)} is no section; expected arguments below it, or {{}} for its defaults"
        )
        return {}
    taken = _taken(PARTS[key], name, f"{key}.{name}", errors)
    if taken is None:
        return {}
    return arguments(f"{key}.{name}", taken, given, errors)


def _weights(key: str, given: Mapping[str, Any], errors: list[str]) -> Section:
    """A number each, or what a balance or a ramp takes."""
    stated: dict[str, Any] = {}
    made: dict[str, Weight | None] = {}
    for name, weight in given.items():
        if isinstance(weight, Mapping):
            kind = Balance if "balance" in weight else Ramp
            stated[name], made[name] = _plain(f"{key}.{name}", kind, weight, errors)
        else:
            stated[name] = made[name] = number = value(f"{key}.{name}", weight, float, errors)
            if number is not None and not 0 <= number < math.inf:
                errors.append(f"{key}.{name}: {number}; expected a number of 0 or more")
    return Section(stated, made)


def _stages(given: Any, errors: list[str]) -> Section:
    if not isinstance(given, list) or not all(isinstance(stage, Mapping) for stage in given):
        errors.append(f"stages: {given!r} is no list of sections, such as [{{share: 0.3}}, {{reset: true}}]")
        return Section([], ())
    sections = [_stage(f"stages.{index}", stage, errors) for index, stage in enumerate(given)]
    return Section([section.stated for section in sections], tuple(section.made for section in sections))


def _stage(key: str, given: Mapping[str, Any], errors: list[str]) -> Section:
    weights = given.get("weights") or {}
    if not isinstance(weights, Mapping):
        errors.append(
            f"{key}.weights: {written(weights)} is no section; expected a number, balance or ramp for each term"
        )
        return Section({}, None)
    weighed = _weights(f"{key}.weights", weights, errors)
    others = {name: value for name, value in given.items() if name != "weights"}
    stage = _plain(key, Stage, others, errors)
    stated = {"weights": weighed.stated, **stage.stated}
    in_order = {name: stated[name] for name in given}
    made = None if stage.made is None else replace(stage.made, weights=weighed.made)
    return Section(in_order, made)
