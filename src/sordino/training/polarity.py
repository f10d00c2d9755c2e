"""Which way up a network answers.

The STFT losses of waveform networks compare magnitudes: to them an estimate and its negative are the same. What
remains, the mean absolute difference of the samples, is a tenth of the whole at the start, and so a network whose
random weights happen to answer upside down may stay there: it learns the magnitudes of clean speech, its PESQ rises
like that of any other, and its waveform never agrees. Of eight seeds of MANNER-S-1.5GF two begin so, and one of them,
trained on real speech for 1,500 steps, was still upside down (docs/results.md).

Our remedy, which no paper has, is to negate the layer that ends the network, which negates the estimate and nothing
else:

* before the first step, if the untrained estimates of a few batches correlate negatively with their inputs. Random
  weights are as likely with either sign;
* early in the run, if the network correlates negatively with clean speech, or the teacher's estimate where there is
  none. Every validation sees that in eval mode, as the network will be used, and a few steps on their own batches as
  the network trains, for its statistics may not have settled by then. An untrained estimate may have hardly any
  correlation with its input, of a sign that the first steps decide: seed 3 of a MANNER-S of 6 channels began upright,
  and had -0.1 after 20 steps and -0.5 after 40.

Later nothing is turned over, as a network that has learnt for long to be wrong needs a person to look at it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sordino.distill.teachers import AnyTeacher
from sordino.models import Enhancer
from sordino.training.collectives import mean
from sordino.training.log import Log
from sordino.types import Batch

EARLY, EARLY_STEPS = 0.2, 100
"""A network may be turned over within this share of the steps of its run, and within so many in any case."""
LOOKS, LOOK_STEPS = (0.05, 0.1, 0.2), (10, 20, 40, 80)
"""Shares of the steps, and steps, after which it is looked at beside the validations."""


class Watch:
    """Sees which way up a network is while it trains, and turns it over while that is cheap.

    Args:
        student: the network that trains.
        average: of its weights, if there is one.
        teacher: stands in for clean speech where a batch has none.
        steps: of the run.
        name: of the run, for messages.

    Attributes:
        steps: after which to ``look``.
        tell: given a line when the network is upside down.
    """

    def __init__(
        self, student: Enhancer, average: Enhancer | None, teacher: AnyTeacher | None, steps: int, name: str
    ) -> None:
        self.student, self.average, self.teacher, self.name = student, average, teacher, name
        self.early = max(EARLY * steps, EARLY_STEPS)
        self.steps = {max(int(share * steps), 1) for share in LOOKS} | set(LOOK_STEPS)
        self.tell: Callable[[str], None] = lambda line: None

    def look(self, batch: Batch, step: int, optimizer: Any, log: Log) -> bool:
        """See by a batch of the training, and turn the network over if need be; returns whether that was done."""
        return self.turns(seen(self.student, batch, self.teacher), step, optimizer, log)

    def turns(self, correlation: float | None, step: int, optimizer: Any, log: Log) -> bool:
        """Turn the network over if its estimates have this ``correlation``, below 0, and it is early.

        Whatever is done about it, an estimate that is upside down is told and logged: as ``turned``, or as
        ``upside_down`` if it is left so.

        Returns:
            Whether it was turned over.
        """
        if correlation is None or correlation >= 0:
            return False
        found = f"{self.name}, step {step}: the estimate correlates by {correlation:.2f} with what it should be"
        if self.student.last is None or step > self.early:
            log.write(step, {"upside_down": correlation})
            self.tell(f"{found}: the network is upside down, and it is too late to turn it over; take another seed")
            return False
        turn(self.student, optimizer, self.average)
        log.write(step, {"turned": correlation})
        self.tell(f"{found}: its last layer was negated")
        return True


def fix_polarity(student: Enhancer, batches: Sequence[Tensor]) -> bool:
    """Negate ``student``'s last layer in place if its estimates of ``batches``, [B,T] each, are upside down.

    A network that names no such layer is left alone. Nothing else changes: no statistic of a batch norm, no random
    generator.

    Returns:
        Whether it was turned over.
    """
    turned = student.last is not None and mean(_trained_on(student, batches, batches)).item() < 0
    if turned:
        _negate(student)
    return turned


def seen(student: Enhancer, batch: Batch, teacher: AnyTeacher | None) -> float | None:
    """How ``student``, as it trains, correlates with what it should answer to ``batch``, over all processes.

    That is clean speech, or the teacher's estimate if no item has a reference. Nothing changes in the student.

    Returns:
        -1 to 1; None where some process has nothing to compare with.
    """
    rows = batch.labelled
    if rows is None or len(rows):
        part = batch if rows is None else batch.part(rows)
        noisy, wanted = part.noisy, part.clean
    else:
        noisy, wanted = batch.noisy, None if teacher is None else teacher(batch).wave
    found = noisy.new_tensor(math.nan) if wanted is None else _trained_on(student, [noisy], [wanted])
    value = mean(found).item()
    return None if math.isnan(value) else value


def _trained_on(student: Enhancer, noisy: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """The mean correlation of the estimates of a copy in training mode with what is ``wanted``, [B,T] each."""
    twin = copy.deepcopy(student).train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        return torch.stack([correlation(twin(one), other) for one, other in zip(noisy, wanted, strict=True)]).mean()


def correlation(estimate: Tensor, wanted: Tensor) -> Tensor:
    """The mean over items of the normalised inner product of two [B,T]; 0 of an item in which one is silent."""
    return torch.cosine_similarity(estimate.float(), wanted.float(), dim=-1).mean()


def turn(student: Enhancer, optimizer: Any, average: Enhancer | None = None) -> None:
    """Negate the last layer of ``student`` and of its ``average``, and what ``optimizer`` remembers of its gradients.

    The layer's gradients change their sign with its weights; Adam's mean of them follows, and its mean of their
    squares stays.
    """
    for parameter in _last(student):
        moment = optimizer.state.get(parameter, {}).get("exp_avg")
        if moment is not None:
            moment.neg_()
    for network in filter(None, (student, average)):
        _negate(network)


def _negate(network: Enhancer) -> None:
    with torch.no_grad():
        for parameter in _last(network):
            parameter.neg_()


def _last(network: Enhancer) -> Iterator[nn.Parameter]:
    if network.last is None:
        raise ValueError(f"{network.name} names no last layer")
    return network.get_submodule(network.last).parameters()
