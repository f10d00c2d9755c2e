"""Weights of the terms: numbers, ramps over steps, or weights that balance a term against the supervised loss.

Weights published for classification do not carry over to speech, so beside numbers there is ``balance``: the weight
that makes the gradient of a method's term r times as long as that of the supervised loss. The ratio of the two changes
while a network learns, by a factor of ten within 400 steps for some methods, so it is measured repeatedly
(``pulls.py``), and the weight follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from sordino.errors import InputError, did_you_mean
from sordino.training.pulls import Gauge
from sordino.training.term_weights import EVERY, Balance, Ramp, Weight
from sordino.types import Terms


class Weighting(nn.Module):
    """The weight of every term in every stage and at every step, with the measurements that balanced weights need.

    Args:
        terms: their names; a term without a weight below weighs 1.
        weights: term -> weight.
        stages: for each stage of the run, what it changes in ``weights``.

    Attributes:
        stage: the index of the current stage.
        gauge: measures the gradient ratio of every method's term and every balanced term.

    Raises:
        InputError: a weight for a term that does not exist, a stage with nothing to minimise, or a stage in which all
            terms are balanced, so that there is nothing to balance them against.
    """

    def __init__(
        self, terms: Iterable[str], weights: Mapping[str, Weight], stages: Sequence[Mapping[str, Weight]] = ()
    ) -> None:
        super().__init__()
        base: dict[str, Weight] = dict.fromkeys(terms, 1.0)
        _check_names("weights", weights, base)
        for index, stage in enumerate(stages):
            _check_names(f"stages.{index}.weights", stage, base)
        base.update(weights)
        self.stages = [{**base, **stage} for stage in stages] or [base]
        self.stage = 0
        measured = {name for name in base if name.startswith("kd/")}
        for stage in self.stages:
            _check_stage(stage)
            measured |= {name for name, weight in stage.items() if isinstance(weight, Balance)}
        self.gauge = Gauge(sorted(measured))

    def enter(self, stage: int, starts: Sequence[int]) -> None:
        """Make a stage the current one, and forget ratios that were measured against another supervised loss.

        Args:
            stage: its index.
            starts: the first step of every stage.
        """
        if stage == self.stage:
            return
        self.stage = stage
        # Ratios that were measured in earlier stages hold as long as those have the same supervised loss.
        earliest = stage
        while earliest > 0 and self._supervised(earliest - 1) == self._supervised(stage):
            earliest -= 1
        self.gauge.since = starts[earliest]

    def _supervised(self, stage: int) -> dict[str, Weight]:
        """The terms of a stage against which the others are measured, with their weights."""
        return {name: self.stages[stage][name] for name in self._reference(stage)}

    @property
    def used(self) -> list[str]:
        """The terms that some stage needs, in the order in which the stages name them."""
        names: dict[str, None] = {}
        for stage in self.stages:
            names |= dict.fromkeys(_active(stage))
        return list(names)

    @property
    def active(self) -> list[str]:
        """The terms that the current stage computes."""
        return self.active_in(self.stage)

    def active_in(self, stage: int) -> list[str]:
        """Return the terms that a stage computes: those whose weight is not 0 throughout."""
        return _active(self.stages[stage])

    @property
    def reference(self) -> list[str]:
        """The terms against whose gradient the others are measured.

        These are the losses that are not balanced; in a stage without any, the methods that are not.
        """
        return self._reference(self.stage)

    def _reference(self, stage: int) -> list[str]:
        weights = self.stages[stage]
        own = [name for name in _active(weights) if not isinstance(weights[name], Balance)]
        losses = [name for name in own if name.startswith("loss/")]
        return losses or own

    def at(self, step: int) -> dict[str, float]:
        """Return the weight of every active term at ``step``; a balanced term that was not measured yet weighs 0."""
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
        """Return the weights that are not plain numbers, for the log: ``weight/TERM`` -> value."""
        stage = self.stages[self.stage]
        moving = {}
        for name, weight in self.at(step).items():
            if not isinstance(stage[name], float):
                moving[f"weight/{name}"] = weight
        return moving

    def pulls(self, step: int) -> dict[str, float]:
        """Return the weighted gradient of each method over that of the supervised loss, ``pull/TERM`` -> ratio.

        Gradients are those of the last measurement, weights those of ``step``. A term that was never measured, such as
        one without a loss beside it, is left out.
        """
        pulls = {}
        for name, weight in self.at(step).items():
            ratio = self.gauge.last(name)
            if ratio is not None:
                pulls[f"pull/{name}"] = weight * ratio
        return pulls

    def measure(self, terms: Terms, parameters: Sequence[nn.Parameter], step: int) -> None:
        """Measure the ratios of gradients that are due at ``step``."""
        stage, reference = self.stages[self.stage], self.reference
        due, settled = [], []
        for name in terms:
            if name not in self.gauge.terms or name in reference:
                continue
            weight = stage[name]
            every = weight.every if isinstance(weight, Balance) else EVERY
            if not self.gauge.due(name, step, every):
                continue
            due.append(name)
            if isinstance(weight, Balance) and weight.settled(step):
                settled.append(name)
        if due and reference:
            weights = self.at(step)
            task = torch.stack([weights[name] * terms[name] for name in reference]).sum()
            self.gauge.measure({name: terms[name] for name in due}, task, parameters, step, settled)


def _active(stage: Mapping[str, Weight]) -> list[str]:
    """Return the terms of a stage whose weight is not 0 throughout."""
    return [name for name, weight in stage.items() if not _is_zero(weight)]


def _is_zero(weight: Weight) -> bool:
    """Return whether a weight is the number 0, or a ramp from 0 to 0."""
    return weight.start == weight.end == 0 if isinstance(weight, Ramp) else weight == 0


def _check_names(where: str, given: Iterable[str], terms: Iterable[str]) -> None:
    """Refuse a weight for a term that does not exist."""
    known = list(terms)
    for name in given:
        if name not in known:
            expected = f"one of {', '.join(known)}"
            raise InputError(f"{where}.{name}", "no such term", expected, did_you_mean(name, known))


def _check_stage(stage: Mapping[str, Weight]) -> None:
    """Refuse a stage that minimises nothing, or in which every term is balanced."""
    active = [weight for weight in stage.values() if not _is_zero(weight)]
    if not active:
        raise InputError("weights", "nothing to minimise", "at least one loss or one distillation method")
    if all(isinstance(weight, Balance) for weight in active):
        raise InputError("weights", "every term is balanced", "one term with a number, against which to balance")
