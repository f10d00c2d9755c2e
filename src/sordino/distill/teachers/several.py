"""Several teachers as one: the mean of their estimates, or for each recording the best of them.

A mean of waveforms needs estimates that lie at the same samples: delays are compensated where external models are
opened. The errors of unlike networks are unlike, so their mean often beats each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from sordino.distill.teachers.network import AnyTeacher
from sordino.errors import InputError
from sordino.types import Batch, Tap, View

Measure = Callable[[np.ndarray, np.ndarray | None], float]
"""Estimate [T] and clean [T], or None without a reference; larger is better."""


class SeveralTeachers:
    """Several teachers whose estimates are combined into one; they have no features.

    Args:
        members: two or more.
        measure: chooses the member whose estimate is taught, for each item; the mean of all is taught where it is None.

    Raises:
        InputError: fewer than two members, or members at different sample rates.
    """

    def __init__(self, members: Sequence[AnyTeacher], measure: Measure | None = None) -> None:
        rates = sorted({member.sample_rate for member in members})
        if len(members) < 2 or len(rates) > 1:
            found = f"{len(members)} at {' and '.join(map(str, rates)) or 'no'} Hz"
            raise InputError("teachers", found, "two or more, at one sample rate")
        self.members, self.measure, self.sample_rate = list(members), measure, rates[0]
        names = ", ".join(member.name for member in members)
        self.name = f"{'the mean' if measure is None else 'the best'} of {names}"
        self.taps: Mapping[str, Tap] = {}

    def to(self, device: torch.device) -> SeveralTeachers:
        """Move all members; returns self."""
        for member in self.members:
            member.to(device)
        return self

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """Return the estimate of ``batch.noisy`` [B,T], without a gradient.

        Raises:
            InputError: a tap is asked for.
        """
        for tap in taps:
            raise InputError(f"tap {tap}", f"{self.name} has none: it shows its estimate alone")
        estimates = torch.stack([member(batch).wave for member in self.members])  # [members,B,T]
        if self.measure is None:
            return View(estimates.mean(dim=0))
        best = self._best(estimates, batch)
        return View(estimates[best, torch.arange(len(best), device=estimates.device)])

    def _best(self, estimates: Tensor, batch: Batch) -> Tensor:
        """Return the number of the best member for each item, [B]; the first of equals."""
        assert self.measure is not None
        waves = estimates.float().cpu().numpy()
        labelled = set(range(len(batch.noisy)) if batch.labelled is None else batch.labelled.tolist())
        chosen = []
        for item, length in enumerate(batch.lengths.tolist()):
            clean = None
            if batch.clean is not None and item in labelled:
                clean = batch.clean[item, :length].float().cpu().numpy()
            figures = [self.measure(wave[item, :length], clean) for wave in waves]
            chosen.append(int(np.argmax(np.nan_to_num(figures, nan=-np.inf))))  # argmax takes NaN for the largest
        return torch.tensor(chosen, device=estimates.device)
