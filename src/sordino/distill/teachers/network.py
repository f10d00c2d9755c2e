"""The teacher, a source of targets: it is asked for a View and never trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch

from sordino.distill.teachers.observe import observe
from sordino.models.base import Enhancer
from sordino.types import Batch, Tap, View


class AnyTeacher(Protocol):
    """All that an objective knows of a teacher, be it a network or a model from elsewhere."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def sample_rate(self) -> int:
        """Hz of the batches that it takes."""
        ...

    @property
    def taps(self) -> Mapping[str, Tap]:
        """The features that it can show; none where it gives its estimate alone."""
        ...

    def to(self, device: torch.device) -> AnyTeacher:
        """Move what it computes with; returns self."""
        ...

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """The estimate of ``batch.noisy`` and the features at ``taps``, none of them with a gradient."""
        ...


class Teacher:
    """A frozen network that answers a batch with its View.

    Not an nn.Module, on purpose: nothing that moves, saves, trains or counts the student's modules can reach it.

    Args:
        network: switched to eval mode and frozen, here and again before every answer, so that not even a stray
            ``train()`` lets its batch-norm statistics drift.
    """

    def __init__(self, network: Enhancer) -> None:
        self.network = network.requires_grad_(False).eval()
        self.name, self.sample_rate, self.taps = network.name, network.sample_rate, network.taps

    def to(self, device: torch.device) -> Teacher:
        """Move the network; returns self."""
        self.network.to(device)
        return self

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """The estimate of ``batch.noisy`` and the features at ``taps``, none of them with a gradient."""
        self.network.eval()
        with torch.no_grad():
            return observe(self.network, batch.noisy, taps)
