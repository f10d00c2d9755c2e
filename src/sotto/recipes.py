"""The composition root: each verb of the project put together from the rooms below. No maths and no loop here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from sotto import data, distill, losses, models, schema
from sotto.errors import InputError
from sotto.files import write_text
from sotto.train import Objective, Outcome, Settings, Trainer

Progress = Callable[[str, int, int, dict[str, float]], None]
"""Called with (what is being done, done, in all, the latest numbers)."""

RECIPE = "recipe.yaml"
# What a resumed run may change, because it changes no number.
_FREE = {("train", "workers"), ("train", "threads"), ("train", "accelerator"), ("train", "log_every"), ("title",), ("out",)}


def train(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Train what a recipe describes: a teacher, a baseline or a distilled student.

    Args:
        recipe: a YAML file, the name of a shipped recipe, or a mapping; see ``sotto.schema``.
        overrides: ``key=value`` with dots between the levels of the key.
        out: folder of the run; the recipe's ``out``, or ``runs/`` and its name, when left out.
        resume: go on with the run in that folder.
        progress: told of every step.

    Raises:
        InputError: an error in the recipe or its data, or a folder that does not fit ``resume``.
    """
    values = schema.read(recipe, overrides)
    name = Path(recipe).stem if isinstance(recipe, (str, Path)) else "run"
    folder = Path(out or values.get("out") or Path("runs") / name)
    trainer = build(values, folder)
    text = yaml.safe_dump(_plain(values), sort_keys=False)
    if resume:
        _same_recipe(folder, text)
    elif not (folder / RECIPE).exists():
        write_text(folder / RECIPE, text)
    title = values.get("title", name)
    return trainer.fit(resume, None if progress is None else lambda *step: progress(title, *step))


def build(values: Mapping[str, Any], folder: Path) -> Trainer:
    """Put together the trainer of a recipe that ``schema.read`` has checked."""
    settings = Settings(**values.get("train", {}))
    torch.manual_seed(settings.seed)
    source = data.create(**values["data"])
    student = models.create(**values["model"])
    teacher = None
    if "teacher" in values:
        teacher = distill.Teacher(models.load(values["teacher"]["checkpoint"]))
    methods = {name: _method(name, arguments) for name, arguments in values.get("distill", {}).items()}
    terms = {name: losses.LOSSES[name](**arguments) for name, arguments in values.get("loss", {"weighted": {}}).items()}
    objective = Objective(terms, methods, student, teacher, values.get("weights"))
    about = {"recipe": _plain(values), "data": source.name, "synthetic": source.synthetic}
    return Trainer(student, objective, source, settings, folder, about)


def _method(name: str, arguments: Mapping[str, Any]) -> distill.Method:
    try:
        return distill.METHODS[name](**arguments)
    except ValueError as error:
        raise InputError(f"distill.{name}", str(error)) from error


def _same_recipe(folder: Path, text: str) -> None:
    """Refuse to resume a run with another recipe, which would be neither the one nor the other."""
    path = folder / RECIPE
    if not path.is_file():
        raise InputError(folder, "no run to resume here", f"a folder with {RECIPE}", "start it without --resume")
    before, now = _flat(yaml.safe_load(path.read_text("utf-8"))), _flat(yaml.safe_load(text))
    changed = [key for key in before | now if before.get(key) != now.get(key) and key not in _FREE]
    if changed:
        key = changed[0]
        found = f"{'.'.join(key)} is {now.get(key)!r}, but the run began with {before.get(key)!r}"
        raise InputError(folder, found, "the same recipe", "set it back, or choose another --out")


def _flat(values: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {key: value for name, inner in values.items() for key, value in _flat(inner, (*prefix, name)).items()}


def _plain(value: Any) -> Any:
    """Tuples as lists, which YAML and JSON can both hold."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
