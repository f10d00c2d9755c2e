"""Teachers as sources of targets: the interface that an objective uses, and a frozen network that implements it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch

from sordino.distill.teachers.observe import observe
from sordino.models.base import Enhancer, name_of
from sordino.types import Batch, Tap, View


class AnyTeacher(Protocol):
    """Interface of a teacher, whether it is a network or an external model."""

    @property
    def name(self) -> str:
        """Name of the teacher in messages."""
        ...

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz of the batches that it takes."""
        ...

    @property
    def taps(self) -> Mapping[str, Tap]:
        """The features that it can give; empty where it gives its estimate alone."""
        ...

    def to(self, device: torch.device) -> AnyTeacher:
        """Move its networks to ``device``; return self."""
        ...

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """Return the estimate of ``batch.noisy`` and the features at ``taps``, without a gradient."""
        ...


class Teacher:
    """Teacher that is a frozen network.

    It is no nn.Module on purpose: code that moves, saves, trains or counts the student's modules does not reach it.

    Args:
        network: is frozen and set to eval mode. Eval mode is set again before every pass, so that a stray ``train()``
            cannot change its batch-norm statistics.
    """

    def __init__(self, network: Enhancer) -> None:
        self.network = network.requires_grad_(False).eval()
        self.name = name_of(network)
        self.sample_rate, self.taps = network.sample_rate, network.taps

    def to(self, device: torch.device) -> Teacher:
        """Move the network; return self."""
        self.network.to(device)
        return self

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """Return the estimate of ``batch.noisy`` and the features at ``taps``, without a gradient."""
        self.network.eval()
        with torch.no_grad():
            return observe(self.network, batch.noisy, taps)
