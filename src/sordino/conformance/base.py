"""Run checks on one subject: a method, network, loss, metric or source.

A check is a function that gets a constructor without arguments. It returns a remark, or None. It raises ``Broken`` if
the subject does not meet the requirement, and ``NotClaimed`` if the requirement does not apply to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sordino.types import Status

Check = Callable[[Callable[[], Any]], str | None]


class Broken(AssertionError):
    """Error: the subject does not meet a requirement."""


class NotClaimed(Exception):
    """Outcome: the check does not apply, because the subject does not claim the property."""


class Result(NamedTuple):
    """Result of one check."""

    check: str
    outcome: str
    """``holds``, ``not claimed`` or ``fails``."""
    remark: str


def require(holds: Any, message: str) -> None:
    """Raise ``Broken`` with ``message`` unless ``holds``. An assert would be left out by ``python -O``."""
    if not holds:
        raise Broken(message)


def run(checks: Mapping[str, Check], make: Callable[[], Any], status: Status = lambda _: None) -> list[Result]:
    """Run every check on what ``make`` makes; any error of the subject's own is a failure with its text.

    ``status`` is called with the name of each check before it.
    """
    results = []
    for name, check in checks.items():
        status(name)
        torch.manual_seed(0)
        try:
            results.append(Result(name, "holds", check(make) or ""))
        except NotClaimed as reason:
            results.append(Result(name, "not claimed", str(reason)))
        except Broken as error:
            results.append(Result(name, "fails", str(error)))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever the user's code raises
            text = str(error).strip().partition("\n")[0]
            results.append(Result(name, "fails", f"{type(error).__name__}: {text}"))
    return results


def noise(*shape: int, seed: int = 0, level: float = 0.1, dtype: torch.dtype = torch.float32) -> Tensor:
    """White noise of standard deviation ``level``, the same in every run."""
    return level * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
