"""The kinds of teacher that a recipe can name, and which arguments of the section go with each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sordino.errors import InputError

SEVERAL = ("mean", "best")
TEACHERS = ("checkpoint", "onnx", "callable", "preset", *SEVERAL)
"""The kinds of teacher, of which a section names one."""
GOES_WITH = {"file": "preset", "stft": "onnx", "measure": "best", "other_noise": "checkpoint"}
"""Argument -> the kind that it belongs to."""
ALONE = ("estimate", "cache", "draws", "other_noise")
"""Arguments of the whole section, which none of its members has."""


def check_arguments(given: Mapping[str, Any]) -> None:
    """Check that the arguments that are given name one kind of teacher, and go with it.

    Raises:
        InputError: no kind, several, or an argument that belongs to another one.
    """
    kinds = [kind for kind in TEACHERS if kind in given]
    if len(kinds) != 1:
        found = " and ".join(kinds) + " at once" if kinds else "missing"
        raise InputError("teacher", found, f"one of {', '.join(TEACHERS)}")
    [kind] = kinds
    if "draws" in given and "cache" not in given:
        raise InputError("teacher.draws", "counts the variants that a cache keeps", "teacher.cache: FOLDER beside it")
    if "other_noise" in given and "cache" in given:
        raise InputError("teacher.other_noise", "depends on which items are in a batch", "no teacher.cache beside it")
    if "sample_rate" in given and kind not in ("onnx", "callable"):
        raise InputError("teacher.sample_rate", f"a {kind} knows its own", "none")
    if "estimate" in given and kind != "checkpoint":
        found = f"{kind} shows nothing but its own"
        raise InputError("teacher.estimate", found, "teacher.checkpoint beside it")
    for argument, owner in GOES_WITH.items():
        if argument in given and kind != owner:
            raise InputError(f"teacher.{argument}", f"does not go with {kind}", f"teacher.{owner} beside it")
