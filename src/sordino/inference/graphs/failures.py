"""Why onnxruntime cannot open a file, in one line that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

from sordino.errors import InputError

_POINTER = b"version https://git-lfs"
_PLACE = re.compile(r"^/\S+:\d+ .*\) (?=[A-Z])")
"""The place in onnxruntime's own source, which begins some of its messages."""
LONGEST = 240
"""Characters of a reason that are shown."""


def unopened(path: str | Path, error: Exception) -> InputError:
    """Return the error for a user whose file ``path`` onnxruntime refused with ``error``.

    A download that is a web page or a pointer of Git LFS is named as what it is. A version that is too new, a foreign
    operator and weights that are missing beside the file are in onnxruntime's own reason.
    """
    with open(path, "rb") as file:
        head = file.read(256).lstrip()
    if head.startswith(_POINTER):
        return InputError(path, "is a pointer of Git LFS, not the model", "an ONNX model", "run git lfs pull")
    if head[:1] == b"<":
        return InputError(path, "is a web page or XML, not the model", "an ONNX model", "download the file itself")
    reason = " ".join(str(error).partition("failed:")[2].split()) or str(error)
    reason = _PLACE.sub("", reason)
    hint = "is the file complete?"
    if "version" in reason or "guarantees" in reason:
        hint = "upgrade onnxruntime, or export the model for an older version"
    elif "opset import" in reason or "not a registered" in reason:
        hint = "it has operators of a library of its own, which sordino does not load"
    return InputError(path, f"cannot be opened as an ONNX model ({reason[:LONGEST]})", hint=hint)
