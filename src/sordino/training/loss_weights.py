"""How much each term weighs: a number, a ramp over steps, or whatever balances it against the supervised loss.

Weights published for classification do not carry over to speech, so beside numbers there is ``balance``: the weight
that makes the gradient of a method's term r times as long as that of the supervised loss. The two drift apart while a
network learns, by a factor of ten within 400 steps for some methods, so the ratio is measured again and again
(``pulls.py``), and the weight follows it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from sordino.errors import InputError
from sordino.training.pulls import Gauge
from sordino.training.term_weights import EVERY, Balance, Ramp, Weight
from sordino.types import Terms


class Weighting(nn.Module):
    """The weight of every term, in every stage and at every step; it holds what was measured.

    Args:
        terms: their names; a term that is not named below weighs 1.
        weights: term -> weight.
        stages: for each stage of the run, what it changes in ``weights``.

    Attributes:
        stage: the index of the present one.
        gauge: the ratio of gradients of every method's term and every balanced one.

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
        self.gauge = Gauge(sorted(balanced | {name for name in base if name.startswith("kd/")}))

    @property
    def used(self) -> list[str]:
        """The terms that some stage needs, in the order in which the stages name them."""
        return list(dict.fromkeys(name for stage in self.stages for name, weight in stage.items() if weight != 0))

    @property
    def active(self) -> list[str]:
        """The terms of the present stage that need computing: those whose weight is not the number 0."""
        return [name for name, weight in self.stages[self.stage].items() if weight != 0]

    @property
    def reference(self) -> list[str]:
        """The terms whose gradient is the measure of the others.

        The losses that have weights of their own; in a stage without any, the methods that have.
        """
        stage = self.stages[self.stage]
        own = [name for name in self.active if not isinstance(stage[name], Balance)]
        return [name for name in own if name.startswith("loss/")] or own

    def at(self, step: int) -> dict[str, float]:
        """The weight of every active term at ``step``; one that is still to be measured weighs 0."""
        weights = {}
        for name in self.active:
            weight = self.stages[self.stage][name]
            if isinstance(weight, Ramp):
                weights[name] = weight.at(step)
            elif isinstance(weight, Balance):
                ratio = self.gauge.smooth(name)
                weights[name] = 0.0 if ratio is None else weight.balance / ratio
            else:
                weights[name] = weight
        return weights

    def moving(self, step: int) -> dict[str, float]:
        """The weights that are not plain numbers, for the log: ``weight/TERM`` -> value."""
        stage = self.stages[self.stage]
        return {f"weight/{name}": now for name, now in self.at(step).items() if not isinstance(stage[name], float)}

    def pulls(self, step: int) -> dict[str, float]:
        """How hard every method pulls: its weighted gradient over that of the supervised loss, ``pull/TERM`` -> ratio.

        Gradients are those of the last measurement, weights those of ``step``. A term that was never measured, as for
        want of a loss beside it, is left out.
        """
        last = {name: self.gauge.last(name) for name in self.active}
        weights = self.at(step)
        return {f"pull/{name}": weights[name] * ratio for name, ratio in last.items() if ratio is not None}

    def measure(self, terms: Terms, parameters: Sequence[nn.Parameter], step: int) -> None:
        """Measure the ratios of gradients that are due at ``step``."""
        stage, reference = self.stages[self.stage], self.reference
        due = []
        for name in terms:
            if name in self.gauge.terms and name not in reference:
                weight = stage[name]
                if self.gauge.due(name, step, weight.every if isinstance(weight, Balance) else EVERY):
                    due.append(name)
        if due and reference:
            weights = self.at(step)
            task = torch.stack([weights[name] * terms[name] for name in reference]).sum()
            self.gauge.measure({name: terms[name] for name in due}, task, parameters, step)


def _check(stage: Mapping[str, Weight]) -> None:
    active = [weight for weight in stage.values() if weight != 0]
    if not active:
        raise InputError("weights", "nothing to minimise", "at least one loss or one distillation method")
    if all(isinstance(weight, Balance) for weight in active):
        raise InputError("weights", "every term is balanced", "one term with a number, against which to balance")
