"""Where a layer runs, for layers that have a formulation of their own for CPUs."""

from __future__ import annotations

import torch
from torch import Tensor


def on_cpu(x: Tensor) -> bool:
    """Whether torch computes with ``x`` on a CPU in its own precision: no GPU, no autocast, no graph being exported."""
    return x.device.type == "cpu" and not torch.compiler.is_exporting() and not torch.is_autocast_enabled("cpu")
