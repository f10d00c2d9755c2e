"""Let a module be called as the verb that it is named after: ``sotto.enhance(noisy, 16000)``.

Python sets ``sotto.enhance`` to the module as soon as anybody imports it, which would hide a function of the same
name. A module whose class defines ``__call__`` is both.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Verb(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)


def make_callable(module: str) -> None:
    """Make the module named ``module`` callable; the call goes to its function of the same name."""
    sys.modules[module].__class__ = _Verb
