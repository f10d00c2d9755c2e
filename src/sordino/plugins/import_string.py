"""Objects by name, ``package.module:object``: how a class or a function of the user's is named in words.

Importing one runs the module that holds it; ``sordino.plugins.modules`` says when that may happen.
"""

from __future__ import annotations

import re

FORM = "package.module:function"
_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_NAME = re.compile(f"({_DOTTED}):({_DOTTED})")


def is_name(word: str) -> bool:
    """Return whether ``word`` has the form ``package.module:object``; such an object need not exist."""
    return _NAME.fullmatch(word) is not None
