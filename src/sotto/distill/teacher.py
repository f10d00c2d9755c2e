"""The teacher, a source of targets: it is asked for a View and never trains."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from sotto.distill.taps import observe
from sotto.models.base import Enhancer
from sotto.types import Batch, View


class Teacher:
    """A frozen network that answers a batch with its View.

    Not an nn.Module, on purpose: nothing that moves, saves, trains or counts the student's modules can reach it.

    Args:
        network: switched to eval mode and frozen, here and again before every answer, so that not even a stray
            ``train()`` lets its batch-norm statistics drift.
    """

    def __init__(self, network: Enhancer) -> None:
        self.network = network.requires_grad_(False).eval()

    def to(self, device: torch.device) -> Teacher:
        """Move the network; returns self."""
        self.network.to(device)
        return self

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """The estimate of ``batch.noisy`` and the features at ``taps``, none of them with a gradient."""
        self.network.eval()
        with torch.no_grad():
            return observe(self.network, batch.noisy, taps)
