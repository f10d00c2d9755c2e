"""Files that ship inside the package: recipes, students, and a few seconds of speech."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sordino.errors import InputError

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


def shipped() -> dict[str, dict[str, Any]]:
    """The students in the package: name -> its card (parameters, data, recipe, figures, licence), the default first."""
    return {name: json.loads(student_file(name, ".json").read_text("utf-8")) for name in students()}


def student_file(name: str = DEFAULT_STUDENT, suffix: str = ".onnx") -> Path:
    """The file of a student that ships: its graph, or with another suffix its card, checkpoint or stream's graph."""
    return STUDENTS / f"{name}{suffix}"


def weights(model: str | Path) -> Path:
    """The checkpoint of a student that ships, by its name; anything else is the file that it names.

    Raises:
        InputError: a student that ships without one, as those in 8 bits do.
    """
    name = str(model)
    if name not in students():
        return Path(model)
    path = student_file(name, OWN_CHECKPOINT)
    if not path.is_file():
        hint = f"take {name.removesuffix(INT8)}, from which it was made"
        raise InputError(model, "ships as ONNX alone", "a checkpoint", hint)
    return path
