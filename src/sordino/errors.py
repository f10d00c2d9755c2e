"""The error for a user's mistake: where it is, what is wrong, and what to do about it; and helpers for messages.

The command line prints it as a single line and exits with code 2. Any other exception that reaches the user is a bug
and keeps its traceback.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
"""Controls, with the escape that begins a terminal's commands; marks that turn the direction of writing; halves of
characters, which names that are no UTF-8 are read as; what no SVG may hold. Tab and line break stay.
"""

UNITS = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3}
DAYS_FROM_S = 48 * 3600.0
"""Up to here hours say it better."""

LONGEST = 2000
"""Characters of a message; what a file holds may be longer."""


class InputError(ValueError):
    """Error about an input of the user: a file, an option or a recipe that cannot be used as it is.

    Args:
        where: the file, folder, recipe key or argument that is wrong.
        found: what is wrong with it.
        expected: what would have been right; left out of the message when empty.
        hint: what the user can do about it; left out of the message when empty.
    """

    def __init__(self, where: object, found: str, expected: str = "", hint: str = "") -> None:
        self.where, self.found, self.expected, self.hint = str(where), found, expected, hint
        message = f"{where}: {found}"
        if expected:
            message += f"; expected {expected}"
        if hint:
            message += f"; {hint}"
        message = " ".join(message.split())
        super().__init__(message if len(message) <= LONGEST else f"{message[:LONGEST]} ...")

    @property
    def reason(self) -> str:
        """The message without the place, for lines that begin with it."""
        return str(self).removeprefix(f"{self.where}: ")

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Pickle the four parts, so that the error survives the way out of a worker process."""
        return type(self), (self.where, self.found, self.expected, self.hint)


class MissingFile(InputError):
    """Error about a file or a model that does not exist."""


class Unsaved(InputError):
    """Error about an output that could not be written after long work.

    Args:
        error: what is wrong with the output.
        result: the result of the work, so that it can still be shown.
    """

    def __init__(self, error: InputError, result: Any) -> None:
        super().__init__(error.where, error.found, error.expected, error.hint)
        self.result = result

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Pickle the error with its result."""
        return type(self), (InputError(self.where, self.found, self.expected, self.hint), self.result)


@contextmanager
def keeping(result: Any) -> Iterator[None]:
    """Context manager: an InputError inside, about where ``result`` is written, carries it on as ``Unsaved``."""
    try:
        yield
    except InputError as error:
        raise Unsaved(error, result) from error


INSTALL_TRAINING = (
    "run pip install 'sordino[train]' "
    "(without a GPU, before that: pip install torch --index-url https://download.pytorch.org/whl/cpu)"
)

TRAINING_TIER = (
    "torch",
    "lightning_fabric",
    "filelock",
    "jsonargparse",
    "safetensors",
    "onnx",
    "onnxscript",
    "tensorboard",
    "pesq",
    "pystoi",
    "scipy",
    "matplotlib",
    "yaml",
)
"""What the packages of the extra ``train`` are imported as, in the order of pyproject.toml."""


def needs_training_tier(what: object = "this command", packages: Iterable[str] = TRAINING_TIER) -> None:
    """Say in one line what is missing for ``what``, where the package was installed for use only.

    Args:
        what: a command, or a file.
        packages: of the second tier, that it needs, by the names under which they are imported.

    Raises:
        InputError: one of them is not installed.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        others = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(what, f"needs {', '.join(missing[:3])}{others}", hint=INSTALL_TRAINING)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a hint with the name of ``known`` that is nearest to ``name``; empty if none is near.

    Args:
        name: what the user wrote.
        known: the names that exist.
        cutoff: least likeness, 0 to 1, of a name that is suggested.
    """
    import difflib  # here alone, as every start of the program would pay for it

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"did you mean {near[0]}?" if near else ""


def written(value: object) -> str:
    """Return a value as a recipe has it: ``null`` and ``true``, where Python says ``None`` and ``True``."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {written(one)}' for key, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def printable(text: str) -> str:
    """Return ``text``, such as a message with an unknown file name, with invisible characters escaped, as ``\\x1b``."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def duration(seconds: float) -> str:
    """Format a duration in the largest unit that fits, with two digits or in whole units; in days from two days on."""
    if seconds >= DAYS_FROM_S:
        unit, value = "days", seconds / 86400
    elif seconds == 0:
        unit, value = "s", 0.0
    else:
        nearly = seconds / 0.9995  # what rounds to one of a unit is one
        unit = next((unit for unit, size in UNITS.items() if nearly >= size), "ms")
        value = seconds / UNITS[unit]
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"


def one_line_warnings(about: object = "") -> Callable[..., str]:
    """Return a ``warnings.formatwarning`` by which one of sordino's own is a line like that of a mistake.

    Args:
        about: what the warnings of this process are about, where others have some too.
    """
    where = f"{about}: " if about else ""

    def formatted(
        message: Warning | str, category: type[Warning], file: str, line: int, text: str | None = None
    ) -> str:
        if Path(file).is_relative_to(Path(__file__).parent):
            return f"sordino: {printable(f'{where}{message}')}\n"
        return f"{file}:{line}: {category.__name__}: {message}\n"

    return formatted
