"""Small networks and short batches that tests of distillation share."""

from __future__ import annotations

import torch
from torch import Tensor

from sotto import models
from sotto.models import Enhancer
from sotto.types import Batch


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def batch_of(samples: int = 1600, dtype: torch.dtype = torch.float32) -> Batch:
    clean = noise(2, samples, seed=1, dtype=dtype)
    noisy = clean + noise(2, samples, seed=2, dtype=dtype)
    return Batch(noisy, clean, torch.full((2,), samples), ("first", "second"))


def network(name: str = "manner-s", hidden: int = 12, depth: int = 2, seed: int = 0) -> Enhancer:
    torch.manual_seed(seed)
    return models.create(name, hidden=hidden, depth=depth)
