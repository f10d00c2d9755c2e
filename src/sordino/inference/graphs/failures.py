"""Explanation of why onnxruntime cannot open a file, in one line that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

from sordino.errors import InputError
from sordino.files import misdownloaded

_PLACE = re.compile(r"^/\S+:\d+ .*\) (?=[A-Z])")
"""The place in onnxruntime's own source, which begins some of its messages."""
LONGEST = 240
"""Characters of a reason that are shown."""


def unopened(path: str | Path, error: Exception) -> InputError:
    """Return the error for a user whose file ``path`` onnxruntime refused with ``error``.

    A download that is something else is named as what it is. A version that is too new, a foreign operator and weights
    that are missing beside the file are in onnxruntime's own reason.
    """
    other = misdownloaded(path, "an ONNX model")
    if other is not None:
        return other
    reason = " ".join(str(error).partition("failed:")[2].split()) or str(error)
    reason = _PLACE.sub("", reason)
    hint = "is the file complete?"
    if "version" in reason or "guarantees" in reason:
        hint = "upgrade onnxruntime, or export the model for an older version"
    elif "xternal data" in reason:
        hint = "its weights lie in another file, which belongs beside it"
    elif "opset import" in reason or "not a registered" in reason:
        hint = "it has operators of a library of its own, which sordino does not load"
    return InputError(path, f"cannot be opened as an ONNX model ({reason[:LONGEST]})", hint=hint)
