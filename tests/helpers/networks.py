"""Small networks and short batches."""

from __future__ import annotations

from typing import Any

import torch

from sordino import models
from sordino.conformance.methods import batch_of
from sordino.models import Enhancer

__all__ = ["SMALL", "batch_of", "network", "small"]

# Of each network; one that is not named is small enough at its default size.
SMALL: dict[str, dict[str, Any]] = {name: {"hidden": 12, "depth": 2} for name in ("manner-b", "manner-s", "manner-l")}
SMALL["demucs"] = {"hidden": 4, "depth": 3}
SMALL["tstnn"] = {"channels": 8, "blocks": 1, "heads": 2, "frame": 64}


def network(name: str = "manner-s", hidden: int = 12, depth: int = 2, seed: int = 0) -> Enhancer:
    torch.manual_seed(seed)
    return models.create(name, hidden=hidden, depth=depth)


def small(name: str) -> Enhancer:
    torch.manual_seed(0)
    return models.create(name, **SMALL.get(name, {})).eval()
