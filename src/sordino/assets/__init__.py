"""What ships inside the package: recipes, students, and a few seconds of speech."""

from __future__ import annotations

import difflib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from sordino.errors import InputError

ASSETS = resources.files("sordino") / "assets"
RECIPES = ASSETS / "recipes"
STUDIES = ASSETS / "studies"
STUDENTS = ASSETS / "models"
PAGE = ASSETS / "page"
SPEECH = ASSETS / "speech" / "common_voice_hsb.flac"

INT8 = "-int8"
"""What the name of a student in 8 bits ends in, after that of the one from which it was made."""

CHECKPOINTS = (".safetensors", ".pt", ".pth", ".th", ".ckpt")
"""What a checkpoint's name ends in: our own, and published ones."""


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


def shipped() -> dict[str, dict[str, Any]]:
    """The students in the package: name -> its card (parameters, data, recipe, figures, licence)."""
    cards = [json.loads(file.read_text("utf-8")) for file in STUDENTS.iterdir() if file.name.endswith(".json")]
    return {
        card["name"]: card for card in sorted(cards, key=lambda card: (not card.get("default", False), card["name"]))
    }


def locate(model: str | Path | None = None) -> Path:
    """The file of a model: that of the default student, of one that ships, by its name, or the file itself.

    Raises:
        InputError: no such model.
    """
    cards = shipped()
    if model is None:
        model = next(iter(cards))
    if str(model) in cards:
        return Path(str(STUDENTS / f"{model}.onnx"))
    path = Path(model)
    if path.is_file() and path.suffix.lower() in (".onnx", *CHECKPOINTS):
        return path
    found = "not a model" if path.exists() else "no such model"
    near = difflib.get_close_matches(str(model), cards, n=1)
    hint = f"did you mean {near[0]}?" if near else ""
    raise InputError(model, found, f"a .onnx file, a checkpoint, or one of {', '.join(cards)}", hint)


def weights(model: str | Path) -> Path:
    """The checkpoint of a student that ships, by its name; anything else is the file that it names.

    Raises:
        InputError: a student that ships without one, as those in 8 bits do.
    """
    if str(model) not in shipped():
        return Path(model)
    path = Path(str(STUDENTS / f"{model}.safetensors"))
    if not path.is_file():
        do = f"take {str(model).removesuffix(INT8)}, from which it was made"
        raise InputError(model, "ships as ONNX alone", "a checkpoint", do)
    return path
