"""Functions by name, ``package.module:function``: how a model that is a function is named in words.

Importing one runs the module that holds it. Only a person who writes this form can cause that; no file of weights can.
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
    """Return whether ``word`` has the form ``package.module:function``; such a function need not exist."""
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
        hint = "install it, or work in the folder that holds it"
        raise InputError(name, f"there is no module {error.name}", FORM, hint) from error
    try:
        function = attrgetter(attribute)(holder)
    except AttributeError as error:
        raise InputError(name, f"{module} has no {attribute}", FORM) from error
    if not callable(function):
        raise InputError(name, f"is a {type(function).__name__}", "something that can be called")
    return function
