"""The pull of each term on the student: the length of its gradient relative to that of the supervised loss.

Gradients are compared at the student's parameters that both terms reach. A loss on features reaches every layer before
them but never the output; the layers behind them would count for the supervised loss alone.

GradNorm (Chen, Badrinarayanan, Lee, Rabinovich, ICML 2018, arXiv 1711.02257) balances tasks by gradient lengths too,
with weights that are learnt. Here the ratio of lengths is measured every few steps, and smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from sordino.training.collectives import mean
from sordino.types import Terms

SMOOTHING = 0.5
"""Share that the smooth ratio keeps of itself when a new one is measured, on a logarithmic scale."""


class Gauge(nn.Module):
    """Measures, for each term, |gradient of the term| / |gradient of the supervised loss|.

    Everything measured is kept in buffers, so that a resumed run goes on with the same ratios.

    Args:
        terms: names of the terms to measure, sorted.

    Attributes:
        since: the first step with the supervised loss of now; ratios that were measured before it do not count.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        super().__init__()
        self.terms = list(terms)
        self.since = 0
        self.register_buffer("logs", torch.zeros(2, len(self.terms)))
        self.register_buffer("counts", torch.zeros(len(self.terms), dtype=torch.int64))
        self.register_buffer("steps", torch.zeros(len(self.terms), dtype=torch.int64))
        self.logs: Tensor
        """Logarithms of the smoothed ratios and of the last ones, [2,terms]."""
        self.counts: Tensor
        """Number of measurements so far, [terms]."""
        self.steps: Tensor
        """Step of the last measurement, [terms]."""

    def due(self, term: str, step: int, every: int) -> bool:
        """Whether the term is to be measured at ``step``.

        The number of steps between two measurements grows by one with each, up to ``every``: networks change fastest at
        first.
        """
        index = self.terms.index(term)
        count = int(self.counts[index].item())
        return not self._known(index) or step - self.steps[index].item() >= min(every, count)

    def _known(self, index: int) -> bool:
        """Whether the ratio of a term was measured against what is the supervised loss now."""
        return bool(self.counts[index] and self.steps[index] >= self.since)

    def smooth(self, term: str) -> float | None:
        """Return the ratio of the term, smoothed over measurements; None before the first that counts."""
        return self._ratio(0, term)

    def last(self, term: str) -> float | None:
        """Return the last ratio of the term; None before the first that counts, or for a term that is not measured."""
        return self._ratio(1, term) if term in self.terms else None

    def _ratio(self, row: int, term: str) -> float | None:
        index = self.terms.index(term)
        return math.exp(self.logs[row, index].item()) if self._known(index) else None

    def measure(
        self,
        terms: Terms,
        task: Tensor,
        parameters: Sequence[nn.Parameter],
        step: int,
        settled: Collection[str] = (),
    ) -> None:
        """Measure ``terms`` against ``task``, the weighted sum of the supervised losses, at ``step``.

        Terms in ``settled`` keep the smooth ratio that they have, if any.

        A measurement without a finite ratio is skipped and tried again at the next step: that of a batch without
        references, whose supervised loss has no gradient, or of a gradient that overflows in half precision.
        """
        task_gradients = _gradients(task, parameters)
        for name, term in terms.items():
            index = self.terms.index(name)
            of_term: list[Tensor] = []
            of_task: list[Tensor] = []
            for own, reference in zip(_gradients(term, parameters), task_gradients, strict=True):
                if own is not None and reference is not None:
                    of_term.append(own)
                    of_task.append(reference)
            length, task_length = _length(of_term), _length(of_task)
            if not (0 < length < math.inf and 0 < task_length < math.inf):
                continue
            log = math.log(length / task_length)
            if not self._known(index):
                self.counts[index] = 0
            if not self.counts[index]:
                self.logs[0, index] = log
            elif name not in settled:
                self.logs[0, index] += (1 - SMOOTHING) * (log - self.logs[0, index])
            self.logs[1, index] = log
            self.counts[index] += 1
            self.steps[index] = step


def _gradients(term: Tensor, parameters: Sequence[nn.Parameter]) -> Sequence[Tensor | None]:
    """Return the gradient of each parameter; None where the term does not depend on it."""
    if not term.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)


def _length(gradients: Sequence[Tensor]) -> float:
    """Return the l2 norm of a gradient, after averaging it over all processes; 0 where there is none."""
    if not gradients:
        return 0.0
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    return torch.linalg.vector_norm(mean(flat)).item()
