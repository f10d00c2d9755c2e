"""Two teachers as one: features from one of them, the estimate from the other.

The best estimate often comes from a network of another kind than the student, and the most useful features from one
that is built like the student: MANNER's output and a wide causal U-Net's latents for a narrow causal U-Net. Methods get
one View and need not know that two networks made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from sordino.distill.teachers.network import AnyTeacher
from sordino.errors import InputError
from sordino.types import Batch, Tap, View


class JointTeacher:
    """Teacher with the features of one teacher and the estimate of another.

    Args:
        features: gives the features; it runs only where a method reads one of them.
        estimate: gives the estimate.

    Raises:
        InputError: they work at different sample rates.
    """

    def __init__(self, features: AnyTeacher, estimate: AnyTeacher) -> None:
        if features.sample_rate != estimate.sample_rate:
            found = f"works at {estimate.sample_rate} Hz"
            raise InputError("teacher.estimate", found, f"{features.sample_rate} Hz, the rate of the other teacher")
        self.features, self.estimate = features, estimate
        self.name = f"{features.name} with the estimate of {estimate.name}"
        self.sample_rate = features.sample_rate
        self.taps: Mapping[str, Tap] = features.taps

    def to(self, device: torch.device) -> JointTeacher:
        """Move both teachers; return self."""
        self.features.to(device)
        self.estimate.to(device)
        return self

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """Return the estimate of ``batch.noisy`` and the features at ``taps``, without a gradient."""
        names = list(taps)
        wave = self.estimate(batch).wave
        return View(wave, self.features(batch, names).feats if names else {})
