"""Training: one loop, its objective, its log and its state on disk.

The names below are imported when they are first asked for: what a recipe says of training (``Settings``, ``Stage``,
``Balance``, ``Ramp``) needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sordino.training.log import read_log
    from sordino.training.loop import Trainer
    from sordino.training.objective import Objective
    from sordino.training.outcome import Outcome
    from sordino.training.settings import Settings
    from sordino.training.stages import Stage
    from sordino.training.term_weights import Balance, Ramp, Weight

__all__ = ["Balance", "Objective", "Outcome", "Ramp", "Settings", "Stage", "Trainer", "Weight", "read_log"]

_MODULES = {
    "Balance": "term_weights",
    "Objective": "objective",
    "Outcome": "outcome",
    "Ramp": "term_weights",
    "Settings": "settings",
    "Stage": "stages",
    "Trainer": "loop",
    "Weight": "term_weights",
    "read_log": "log",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
