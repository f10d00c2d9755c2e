"""How hard each term pulls at the student: the length of its gradient beside that of the supervised loss.

Gradients are compared at the student's parameters that both terms reach: a loss on features reaches every layer before
them and never the output, so the layers behind them would count for the supervised loss alone.

GradNorm (Chen, Badrinarayanan, Lee, Rabinovich, ICML 2018, arXiv 1711.02257) balances tasks by gradient lengths too,
with weights that are learnt; here they are measured, every few steps, and smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sordino.training.collectives import mean
from sordino.types import Terms

SMOOTHING = 0.5
"""Share that the smooth ratio keeps of itself when a new one is measured, on a logarithmic scale."""


class Gauge(nn.Module):
    """Ratios of gradients, term by term: |gradient of the term| / |gradient of the supervised loss|.

    All that it remembers is in buffers, so that a resumed run goes on with the same ratios.

    Args:
        terms: names of those that are measured, sorted.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        super().__init__()
        self.terms = list(terms)
        self.register_buffer("logs", torch.zeros(2, len(self.terms), dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(len(self.terms), dtype=torch.int64))
        self.register_buffer("steps", torch.zeros(len(self.terms), dtype=torch.int64))
        self.logs: Tensor
        """Logarithms of the smooth ratios and of the last ones, [2, terms]."""
        self.counts: Tensor
        """Measurements so far."""
        self.steps: Tensor
        """Of the last measurement."""

    def due(self, term: str, step: int, every: int) -> bool:
        """Whether the term is to be measured at ``step``.

        The steps in between grow by one with each measurement, up to ``every``, as networks change fastest at first.
        """
        index = self.terms.index(term)
        count = int(self.counts[index].item())
        return count == 0 or step - self.steps[index].item() >= min(every, count)

    def smooth(self, term: str) -> float | None:
        """The ratio of the term, smoothed over measurements; None before the first."""
        return self._ratio(0, term)

    def last(self, term: str) -> float | None:
        """The ratio of the term as it was measured last; None before the first measurement or for another term."""
        return self._ratio(1, term) if term in self.terms else None

    def _ratio(self, row: int, term: str) -> float | None:
        index = self.terms.index(term)
        return math.exp(self.logs[row, index].item()) if self.counts[index] else None

    def measure(self, terms: Terms, task: Tensor, parameters: Sequence[nn.Parameter], step: int) -> None:
        """Measure ``terms`` against ``task``, the weighted sum of the supervised losses, at ``step``.

        What tells nothing is passed over, and tried again at the next step: a batch without references, whose loss has
        no gradient, or one whose gradient overflows in half precision.
        """
        wanted = _gradients(task, parameters)
        for name, term in terms.items():
            index = self.terms.index(name)
            found = _gradients(term, parameters)
            both = [(one, other) for one, other in zip(found, wanted, strict=True) if None not in (one, other)]
            pull, reference = (_length([pair[side] for pair in both]) for side in (0, 1))
            if not (0 < pull < math.inf and 0 < reference < math.inf):
                continue
            log = math.log(pull / reference)
            share = 1 - SMOOTHING if self.counts[index] else 1.0
            self.logs[0, index] += share * (log - self.logs[0, index])
            self.logs[1, index] = log
            self.counts[index] += 1
            self.steps[index] = step


def _gradients(term: Tensor, parameters: Sequence[nn.Parameter]) -> Sequence[Tensor | None]:
    """The gradient of each parameter; None where the term does not reach."""
    if not term.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)


def _length(gradients: Sequence[Tensor | None]) -> float:
    """The length of a gradient, averaged over the processes before."""
    parts = [one.flatten() for one in gradients if one is not None]
    return torch.linalg.vector_norm(mean(torch.cat(parts))).item() if parts else 0.0
