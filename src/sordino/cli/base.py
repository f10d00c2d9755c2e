"""Parts of a command: its words, its help, and the function that runs it.

An answer is given twice, as a value for ``--json`` and as text.
"""

from __future__ import annotations

import importlib.util
import os
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sordino.assets import RUN_WEIGHTS
from sordino.errors import InputError, MissingFile

Answer = tuple[Any, str]
Flag = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True)
class Command:
    """One command: the function that runs it, its arguments and its help."""

    run: Callable[[Namespace], Answer]
    arguments: tuple[Flag, ...]
    description: str
    epilog: Callable[[], str] = str
    """Examples; a function, so that only the help that is asked for is put together."""


def flag(*names: str, **options: Any) -> Flag:
    """One argument of a command, in the words of ``ArgumentParser.add_argument``."""
    return names, options


TRUST = flag(
    "--trust",
    action="append",
    default=[],
    metavar="MODULE",
    help="allow files to import this module: an installed one, one in this folder, or a path; may be repeated",
)


def with_next_command(error: InputError) -> InputError:
    """Return the error to print: if the checkpoint of a run is missing, one that names the command that trains it.

    Without torch no checkpoint can be opened, and ``error`` says so already.
    """
    path = str(error.where)
    missing = isinstance(error, MissingFile) and os.path.basename(path) in RUN_WEIGHTS and not os.path.isfile(path)
    if not missing or importlib.util.find_spec("torch") is None:
        return error
    from sordino.experiments.origins import untrained

    return untrained(Path(path))
