"""Recipes: the description of a run, read once from YAML, checked completely, and passed on as a typed value.

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

``sordino.experiments.schema`` says what may stand in each, ``sordino.experiments.merge`` how a recipe is laid over its
base. Every error of a recipe is reported at once, with the nearest valid name. Neither torch nor any network is
imported to read one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sordino.errors import InputError
from sordino.experiments.merge import layered, load, merge, on_base
from sordino.experiments.schema import (
    DEFAULT_LOSS,
    Arguments,
    Component,
    Paper,
    Pretrained,
    Section,
    Unlabelled,
    check,
)
from sordino.experiments.teacher_section import TeacherSection
from sordino.plugins.modules import trust_names
from sordino.training import Settings, Stage, Weight


@dataclass(frozen=True)
class Recipe:
    """What a run computes; made by ``read`` alone, which checks it.

    Attributes:
        model: the student: a network with fresh weights, or a checkpoint to go on from.
        data: where the recordings come from.
        train: how to train.
        losses: supervised loss -> arguments; ``weighted`` where the recipe has no section ``loss``.
        methods: distillation method -> arguments.
        weights: term, such as ``kd/mvat`` -> weight; a term that is not named weighs 1.
        stages: parts of the run; none is one.
        teacher: needed by ``methods``.
        unlabelled: noisy recordings to mix into the data.
        paper: the published row that it reproduces.
        title: for tables; may be empty.
        out: folder of the run; may be empty.
        name: of its file, without folder and ending; names the folder of a run that has no ``out``.
        stated: what the recipe says, without defaults that it does not state.
    """

    model: Component | Pretrained
    data: Component
    train: Settings
    losses: Mapping[str, Arguments]
    methods: Mapping[str, Arguments]
    weights: Mapping[str, Weight]
    stages: tuple[Stage, ...]
    teacher: TeacherSection | None
    unlabelled: Unlabelled | None
    paper: Paper | None
    title: str
    out: str
    name: str = field(compare=False)
    stated: Mapping[str, Any] = field(repr=False)

    def to_mapping(self) -> dict[str, Any]:
        """Return the stated sections as plain values, with lists for tuples; ``read`` takes them back."""
        return plain(self.stated)

    @property
    def folder(self) -> Path:
        """Folder of the run unless the user names another one."""
        if self.out:
            return Path(self.out)
        return Path("runs") / self.name

    def teacher_facts(self) -> dict[str, Any]:
        """Facts beside the teacher itself on which its outputs depend, by dotted key, as a cache stores them."""
        teacher = self.stated.get("teacher", {})
        rate = {"sample_rate": teacher["sample_rate"]} if "sample_rate" in teacher else {}
        unlabelled = self.stated.get("unlabelled", {})
        facts = plain({"teacher": rate, "data": self.stated["data"], "unlabelled": unlabelled})
        return {".".join(key): value for key, value in flat(facts).items()}


RecipeLike = str | Path | Mapping[str, Any] | Recipe
"""A YAML file, the name of a recipe that ships, a mapping of its sections, or one that was read before."""


def read(recipe: RecipeLike, overrides: Sequence[str] = (), layers: Sequence[Mapping[str, Any]] = ()) -> Recipe:
    """Read a recipe, follow its ``base``, apply the overrides and check everything.

    Args:
        recipe: a YAML file, the name of a recipe that ships, or the recipe itself.
        overrides: ``key=value`` with dots between the levels of the key: ``train.steps=100``. Together they are laid
            over the recipe as a recipe is over its base.
        layers: mappings to lay over the recipe first, one after the other.

    Raises:
        InputError: no such recipe, no YAML, or errors in it, all of which the message tells.
    """
    sections = _sections(recipe, overrides, layers, ("model", "data"))

    def made(key: str, default: Any) -> Any:
        return sections[key].made if key in sections else default

    return Recipe(
        model=made("model", None),
        data=made("data", None),
        train=made("train", Settings()),
        losses=made("loss", DEFAULT_LOSS),
        methods=made("distill", {}),
        weights=made("weights", {}),
        stages=made("stages", ()),
        teacher=made("teacher", None),
        unlabelled=made("unlabelled", None),
        paper=made("paper", None),
        title=made("title", ""),
        out=made("out", ""),
        name=_name(recipe),
        stated={key: section.stated for key, section in sections.items()},
    )


def read_data(recipe: RecipeLike, overrides: Sequence[str] = ()) -> Component:
    """Read the section ``data`` of a recipe that need not have any other; arguments and errors as for ``read``."""
    return _sections(recipe, overrides, (), ("data",))["data"].made


def _sections(
    recipe: RecipeLike, overrides: Sequence[str], layers: Sequence[Mapping[str, Any]], needed: Sequence[str]
) -> dict[str, Section]:
    where, folders = "recipe", [Path()]
    if isinstance(recipe, (str, Path)):
        where, folders = recipe, [Path(recipe).parent, Path()]
        values = load(recipe)
    elif isinstance(recipe, Recipe):
        values = on_base(recipe.to_mapping())
    else:
        values = on_base(deepcopy(dict(recipe)))
    changes = layered(overrides)
    trust_names(changes, *folders)
    for layer in (*layers, *changes):
        values = merge(values, layer)
    sections, errors = check(values, needed)
    if errors:
        raise InputError(where, "; ".join(errors))
    return sections


def _name(recipe: RecipeLike) -> str:
    if isinstance(recipe, Recipe):
        return recipe.name
    if isinstance(recipe, (str, Path)):
        return Path(recipe).stem
    return "run"


def flat(values: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value of a nested mapping by the keys that lead to it."""
    if not isinstance(values, dict) or (prefix and not values):  # a loss or a method may have no arguments
        return {prefix: values}
    flattened = {}
    for name, inner in values.items():
        flattened |= flat(inner, (*prefix, name))
    return flattened


def plain(value: Any) -> Any:
    """Tuples as lists, which YAML and JSON can both hold."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value
