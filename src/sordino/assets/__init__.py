"""Files that ship inside the package: recipes, students, and a few seconds of speech; and the names of weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sordino.errors import InputError, did_you_mean

ASSETS = Path(__file__).parent
RECIPES = ASSETS / "recipes"
STUDIES = ASSETS / "studies"
STUDENTS = ASSETS / "models"
PAGE = ASSETS / "page"
SPEECH = ASSETS / "speech" / "common_voice_hsb.flac"

DEFAULT_STUDENT = "dualpath-24"
"""The student that runs where no model is named."""

INT8 = "-int8"
"""What the name of a student in 8 bits ends in, after that of the one from which it was made."""

OWN_CHECKPOINT = ".safetensors"
STREAM_SUFFIX = ".stream.onnx"
"""What the name of the graph of a stream ends in, beside that of whole recordings."""

CHECKPOINTS = (OWN_CHECKPOINT, ".pt", ".pth", ".th", ".ckpt")
"""Suffixes of checkpoints: those that sordino writes, and published ones."""

RUN_RECIPE, RUN_WEIGHTS = "recipe.yaml", ("best.safetensors", "last.safetensors")
"""Files in the folder of a run: its recipe, and its best and last weights."""


def recipes() -> list[str]:
    """The names of the recipes that ship, such as ``valentini/manner-s-1.5gf-mvat``."""
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.yaml')}"
        for folder in RECIPES.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".yaml") and not file.name.startswith("_")
    )


def studies() -> list[str]:
    """The names of the studies that ship."""
    return sorted(file.name.removesuffix(".yaml") for file in STUDIES.iterdir() if file.name.endswith(".yaml"))


def students() -> list[str]:
    """The names of the students that ship, the default first. No card is read for them."""
    names = sorted(file.stem for file in STUDENTS.glob("*.json"))
    return sorted(names, key=lambda name: name != DEFAULT_STUDENT)


def streaming_students() -> list[str]:
    """The names of those that can run block by block."""
    return [name for name in students() if student_file(name, STREAM_SUFFIX).is_file()]


def trainable_students() -> list[str]:
    """The names of those that ship with a checkpoint, and not as ONNX alone."""
    return [name for name in students() if student_file(name, OWN_CHECKPOINT).is_file()]


def shipped() -> dict[str, dict[str, Any]]:
    """The students in the package: name -> its card (parameters, data, recipe, figures, licence), the default first."""
    return {name: json.loads(student_file(name, ".json").read_text("utf-8")) for name in students()}


def student_file(name: str = DEFAULT_STUDENT, suffix: str = ".onnx") -> Path:
    """The file of a student that ships: its graph, or with another suffix its card, checkpoint or stream's graph."""
    return STUDENTS / f"{name}{suffix}"


def weights(model: str | Path) -> Path:
    """The checkpoint of a student that ships, by its name, or that of a run, by its folder; else the file named.

    Raises:
        InputError: a student that ships without one, as those in 8 bits do.
    """
    name = str(model)
    if name not in students():
        return run_weights(model)
    path = student_file(name, OWN_CHECKPOINT)
    if not path.is_file():
        hint = f"take {name.removesuffix(INT8)}, from which it was made"
        raise InputError(model, "ships as ONNX alone", "a checkpoint", hint)
    return path


def run_weights(path: str | Path) -> Path:
    """The best weights of a run, by its folder: the last ones of a run that validates nothing; else ``path`` itself."""
    if not os.path.isfile(os.path.join(path, RUN_RECIPE)):
        return Path(path)
    best, last = (Path(path) / name for name in RUN_WEIGHTS)
    return last if last.is_file() and not best.is_file() else best


def nearest_student(word: str | Path) -> str:
    """Return a hint with the student that ships whose name is like a word that names no model; empty if none is."""
    return did_you_mean(str(word), students())
