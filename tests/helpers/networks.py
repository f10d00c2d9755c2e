"""Small networks and short batches that tests of distillation share."""

from __future__ import annotations

from typing import Any

import torch

from helpers.noise import noise
from sordino import models
from sordino.models import Enhancer
from sordino.types import Batch

# Of each network; one that is not named is small enough at its default size.
SMALL: dict[str, dict[str, Any]] = {name: {"hidden": 12, "depth": 2} for name in ("manner-b", "manner-s", "manner-l")}
SMALL["demucs"] = {"hidden": 4, "depth": 3}
SMALL["tstnn"] = {"channels": 8, "blocks": 1, "heads": 2, "frame": 64}


def batch_of(samples: int = 1600, dtype: torch.dtype = torch.float32) -> Batch:
    clean = noise(2, samples, seed=1, dtype=dtype)
    noisy = clean + noise(2, samples, seed=2, dtype=dtype)
    return Batch(noisy, clean, torch.full((2,), samples), ("first", "second"))


def network(name: str = "manner-s", hidden: int = 12, depth: int = 2, seed: int = 0) -> Enhancer:
    torch.manual_seed(seed)
    return models.create(name, hidden=hidden, depth=depth)
