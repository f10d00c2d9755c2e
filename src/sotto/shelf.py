"""What ships inside the package: recipes, students, and a few seconds of speech."""

from __future__ import annotations

from importlib import resources

ASSETS = resources.files("sotto") / "assets"
RECIPES = ASSETS / "recipes"
STUDENTS = ASSETS / "models"
SPEECH = ASSETS / "speech" / "common_voice_hsb.flac"


def recipes() -> list[str]:
    """The names of the recipes that ship, such as ``valentini/manner-s-1.5gf-mvat``."""
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.yaml')}"
        for folder in RECIPES.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".yaml") and not file.name.startswith("_")
    )
