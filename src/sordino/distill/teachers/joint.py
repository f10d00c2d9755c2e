"""Two teachers as one: features from the one, the estimate from the other.

The best estimate often comes from a network that is nothing like the student, and features worth imitating from one
that is built like it: MANNER's output and a wide causal U-Net's latents for a narrow causal U-Net. Methods ask for a
view, and need not know that two networks made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from sordino.distill.teachers.network import AnyTeacher
from sordino.errors import InputError
from sordino.types import Batch, Tap, View


class JointTeacher:
    """A teacher that shows the features of one and the estimate of another.

    Args:
        features: whose taps it has; asked only where a method reads one of them.
        estimate: whose estimate it gives.

    Raises:
        InputError: they work at different sample rates.
    """

    def __init__(self, features: AnyTeacher, estimate: AnyTeacher) -> None:
        if features.sample_rate != estimate.sample_rate:
            found = f"works at {estimate.sample_rate} Hz"
            raise InputError("teacher.estimate", found, f"{features.sample_rate} Hz, the rate of the other teacher")
        self.features, self.estimate = features, estimate
        self.name, self.sample_rate = f"{features.name} with the estimate of {estimate.name}", features.sample_rate
        self.taps: Mapping[str, Tap] = features.taps

    def to(self, device: torch.device) -> JointTeacher:
        """Move both; returns self."""
        self.features.to(device)
        self.estimate.to(device)
        return self

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """The estimate of ``batch.noisy`` by the one and the features at ``taps`` of the other, without a gradient."""
        asked = list(taps)
        return View(self.estimate(batch).wave, self.features(batch, asked).feats if asked else {})
