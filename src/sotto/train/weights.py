"""How much each term weighs: a number, a ramp over steps, or whatever balances it against the rest.

Weights published for classification do not carry over to speech, so beside numbers there is ``balance``: the weight
that makes the gradient of a method's term r times as long as that of the terms which have weights of their own. It is
measured over the first steps and frozen then, so that the objective stops moving.

Our reading: gradients are compared at the student's parameters, not at its output, because a loss on features reaches
every layer before them and never the output.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from sotto.errors import InputError
from sotto.train.across import mean
from sotto.types import Terms


@dataclass(frozen=True)
class Balance:
    """A weight found by measurement.

    Args:
        balance: r, the ratio of the weighted term's gradient to that of the terms with weights of their own.
        steps: over which the weight is measured, after which it stays.
    """

    balance: float
    steps: int = 50

    def __post_init__(self) -> None:
        if not self.balance > 0 or self.steps < 1:
            raise InputError("weights", f"balance {self.balance} over {self.steps} steps", "both above 0")


@dataclass(frozen=True)
class Ramp:
    """A weight that moves from one value to another.

    Args:
        ramp: ``linear``, or ``cosine`` for half a period of it.
        steps: of the run, from its first, over which it moves.
        start: its value at first.
        end: its value from then on.
    """

    ramp: Literal["linear", "cosine"]
    steps: int
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError("weights", f"a ramp over {self.steps} steps", "at least 1")

    def at(self, step: int) -> float:
        """The weight at ``step``, counted from 0."""
        share = min(step / self.steps, 1.0)
        if self.ramp == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + (self.end - self.start) * share


Weight = float | Balance | Ramp


def weight_of(value: float | Mapping[str, Any]) -> Weight:
    """A weight out of a recipe: a number, ``{balance: r}`` or ``{ramp: linear, steps: N}``."""
    if isinstance(value, Mapping):
        return Balance(**value) if "balance" in value else Ramp(**value)
    return float(value)


class Weighting(nn.Module):
    """The weight of every term, in every stage and at every step; it holds what balancing has measured.

    Args:
        terms: their names; a term that is not named below weighs 1.
        weights: term -> weight.
        stages: for each stage of the run, what it changes in ``weights``.

    Attributes:
        stage: the index of the present one.

    Raises:
        InputError: a weight for a term that does not exist, a stage with nothing to minimise, or one in which every
            term is balanced against nothing.
    """

    def __init__(
        self, terms: Iterable[str], weights: Mapping[str, Weight], stages: Sequence[Mapping[str, Weight]] = ()
    ) -> None:
        super().__init__()
        base: dict[str, Weight] = dict.fromkeys(terms, 1.0)
        for prefix, given in (("", weights), *((f"stages.{i}.", stage) for i, stage in enumerate(stages))):
            for name in given:
                if name not in base:
                    near = difflib.get_close_matches(name, base, n=1)
                    hint = f"did you mean {near[0]}?" if near else ""
                    raise InputError(f"{prefix}weights.{name}", "no such term", f"one of {', '.join(base)}", hint)
        base.update(weights)
        self.stages = [{**base, **stage} for stage in stages] or [base]
        self.stage = 0
        for stage in self.stages:
            _check(stage)
        balanced = {name for stage in self.stages for name, weight in stage.items() if isinstance(weight, Balance)}
        self.balanced = sorted(balanced)
        self.register_buffer("measured", torch.zeros(len(self.balanced), dtype=torch.float64))
        self.register_buffer("count", torch.zeros(len(self.balanced), dtype=torch.int64))
        self.measured: Tensor
        self.count: Tensor

    @property
    def used(self) -> list[str]:
        """The terms that some stage needs, in the order in which the stages name them."""
        return list(dict.fromkeys(name for stage in self.stages for name, weight in stage.items() if weight != 0))

    @property
    def active(self) -> list[str]:
        """The terms of the present stage that need computing: those whose weight is not the number 0."""
        return [name for name, weight in self.stages[self.stage].items() if weight != 0]

    def at(self, step: int) -> dict[str, float]:
        """The weight of every active term at ``step``; one that is still to be measured weighs 0."""
        weights = {}
        for name in self.active:
            weight = self.stages[self.stage][name]
            if isinstance(weight, Ramp):
                weights[name] = weight.at(step)
            elif isinstance(weight, Balance):
                weights[name] = weight.balance * self.measured[self.balanced.index(name)].item()
            else:
                weights[name] = weight
        return weights

    def moving(self, step: int) -> dict[str, float]:
        """The weights that are not plain numbers, for the log: ``weight/TERM`` -> value."""
        stage = self.stages[self.stage]
        return {f"weight/{name}": now for name, now in self.at(step).items() if not isinstance(stage[name], float)}

    def measure(self, terms: Terms, parameters: Sequence[nn.Parameter], step: int) -> None:
        """Compare the gradients of balanced terms with those of the others, unless that has been done often enough."""
        stage = self.stages[self.stage]
        due = []
        for name in terms:
            weight = stage[name]
            if isinstance(weight, Balance) and self.count[self.balanced.index(name)] < weight.steps:
                due.append(name)
        if not due:
            return
        weights = self.at(step)
        fixed = [name for name in terms if not isinstance(stage[name], Balance)]
        task = torch.stack([weights[name] * terms[name] for name in fixed]).sum()
        wanted = _gradient_norm(task, parameters)
        for name in due:
            index, found = self.balanced.index(name), _gradient_norm(terms[name], parameters)
            # A batch without labels has no task, and half precision may overflow: neither tells how the two compare.
            if 0 < found < math.inf and 0 < wanted < math.inf:
                self.count[index] += 1
                self.measured[index] += (wanted / found - self.measured[index]) / self.count[index]


def _check(stage: Mapping[str, Weight]) -> None:
    active = [weight for weight in stage.values() if weight != 0]
    if not active:
        raise InputError("weights", "nothing to minimise", "at least one loss or one distillation method")
    if all(isinstance(weight, Balance) for weight in active):
        raise InputError("weights", "every term is balanced", "one term with a number, against which to balance")


def _gradient_norm(term: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    if not term.requires_grad:
        return term.new_zeros((), dtype=torch.float64)
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, materialize_grads=True)
    return torch.linalg.vector_norm(mean(parameters_to_vector(gradients))).double()
