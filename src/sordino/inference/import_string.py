"""A Python function in words, ``package.module:function``: how a model that is no file is named.

Finding one runs the module that holds it. No file of weights can do that here; a person has to write this form.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from sordino.errors import InputError

FORM = "package.module:function"
_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_NAME = re.compile(f"({_DOTTED}):({_DOTTED})")


def is_name(word: str) -> bool:
    """Whether ``word`` has the form ``package.module:function``; not whether there is one."""
    return _NAME.fullmatch(word) is not None


def find(name: str) -> Callable[..., Any]:
    """Import the function that ``name`` names; an error inside its module keeps its traceback.

    Args:
        name: ``package.module:function``, or ``package.module:object.method``.

    Raises:
        InputError: not of that form, no such module, nothing of that name in it, or nothing that can be called.
    """
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise InputError(name, "names no function", FORM)
    module, attribute = parts.groups()
    try:
        holder = importlib.import_module(module)
    except ModuleNotFoundError as error:
        do = "install it, or work in the folder that holds it"
        raise InputError(name, f"there is no module {error.name}", FORM, do) from error
    try:
        found = attrgetter(attribute)(holder)
    except AttributeError as error:
        raise InputError(name, f"{module} has no {attribute}", FORM) from error
    if not callable(found):
        raise InputError(name, f"is a {type(found).__name__}", "something that can be called")
    return found
