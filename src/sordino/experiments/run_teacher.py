"""The teacher that a run began with: hashes of its files are stored in the run's folder and compared on resume.

A recipe names the teacher by a path. Where another network has come to lie there, the run would go on with other
targets, and a study would compare students of different teachers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sordino.errors import InputError
from sordino.experiments.recipe import Recipe
from sordino.experiments.teacher import identity_of
from sordino.json_files import read_json, write_json

TEACHER = "teacher.json"
"""The file in a run's folder with the hashes; runs that learn from no teacher have none."""


def keep_teacher(folder: Path, recipe: Recipe) -> None:
    """Store in the folder of a run which teacher it begins with.

    Raises:
        InputError: a file of the teacher is missing.
    """
    if recipe.teacher is None or not recipe.methods:
        (folder / TEACHER).unlink(missing_ok=True)
    else:
        write_json(folder / TEACHER, identity_of("teacher", recipe.teacher))


def same_teacher(folder: Path, recipe: Recipe) -> None:
    """Refuse to resume a run with another teacher; runs of older versions did not store it.

    Raises:
        InputError: the teacher is another one; or a file of it is missing.
    """
    path = folder / TEACHER
    if recipe.teacher is None or not path.is_file():
        return
    before: dict[str, Any] = read_json(path, dict[str, Any], "description of a teacher")
    now = identity_of("teacher", recipe.teacher)
    for key in before | now:
        if before.get(key) != now.get(key):
            found = f"{key} is another one than when the run began: its file was replaced"
            raise InputError(folder, found, "the same teacher", "put it back, or give the run another folder")
