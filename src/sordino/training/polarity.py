"""Polarity of a network: whether its estimate has the sign of the clean speech or the opposite one.

The STFT losses of waveform networks compare magnitudes: to them an estimate and its negative are equal. What remains,
the mean absolute difference of the samples, is a tenth of the whole at the start. A network whose random weights happen
to give the opposite sign may therefore keep it: it learns the magnitudes of clean speech and its PESQ rises like that
of any other, but its waveform never agrees. Of eight seeds of MANNER-S-1.5GF two begin like that, and one of them,
trained on real speech for 1,500 steps, still had the wrong sign.

The remedy, which is from no paper, is to negate the last layer of the network, which negates the estimate and changes
nothing else:

* before the first step: a network whose untrained output correlates negatively with its input, over a few batches, has
  its last layer negated. Random weights are as likely with either sign;
* early in the run: likewise if the estimate correlates negatively with clean speech, or with the teacher's estimate
  where there is none. Every validation measures that in eval mode, as the network will be used. A few steps measure it
  on their own batches in training mode, because the batch-norm statistics may not have settled by then. The check
  before the first step is not enough: the correlation of an untrained network may be so small that the first steps
  decide its sign. Seed 3 of a MANNER-S of 6 channels began with the right sign, and had -0.1 after 20 steps and -0.5
  after 40.

A run in stages may train features alone at first; early then means after that. Later nothing is negated: if a network
has learned the wrong sign for long, the user has to decide.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sordino.distill.teachers import AnyTeacher
from sordino.models import Enhancer
from sordino.training.collectives import mean
from sordino.training.log import Log
from sordino.types import Batch, Status

EARLY_SHARE, EARLY_STEPS = 0.2, 100
"""A network may be negated during this share of the steps that train its estimate, and during at least that many."""
CHECK_SHARES, CHECK_STEPS = (0.05, 0.1, 0.2), (10, 20, 40, 80)
"""Shares of the steps, and steps, after which polarity is checked beside the validations."""


class PolarityWatch:
    """Checks the polarity of a network while it trains, and negates its last layer while that is cheap.

    Args:
        student: the network that trains.
        average: of its weights, if there is one.
        teacher: its estimate takes the place of clean speech where a batch has none.
        steps: of the run.
        name: of the run, for messages.
        begin: the first step that compares the estimate with something; a stage before it may train features alone.

    Attributes:
        steps: the steps after which to call ``check_batch``.
        early: the last step at which the network may be negated.
        status: called with a line when the polarity is wrong.
    """

    def __init__(
        self,
        student: Enhancer,
        average: Enhancer | None,
        teacher: AnyTeacher | None,
        steps: int,
        name: str,
        begin: int = 0,
    ) -> None:
        self.student, self.average, self.teacher, self.name = student, average, teacher, name
        left = steps - begin
        self.early = begin + max(EARLY_SHARE * left, EARLY_STEPS)
        checks = {max(int(share * left), 1) for share in CHECK_SHARES} | set(CHECK_STEPS)
        self.steps = {begin + after for after in checks}
        self.status: Status = lambda line: None

    def check_batch(self, batch: Batch, step: int, optimizer: Any, log: Log) -> bool:
        """Check the polarity on a training batch; return whether the network was negated."""
        return self.fix(target_correlation(self.student, batch, self.teacher), step, optimizer, log)

    def fix(self, correlation: float | None, step: int, optimizer: Any, log: Log) -> bool:
        """Negate the network if the ``correlation`` of its estimates with their targets is below 0 and it is early.

        A negative correlation is always reported and logged: as ``negated`` if the network was negated, as
        ``inverted`` if not.

        Returns:
            Whether the network was negated.
        """
        if correlation is None or correlation >= 0:
            return False
        found = f"{self.name}, step {step}: the estimate correlates by {correlation:.2f} with its target"
        if self.student.last is None or step > self.early:
            log.write(step, {"inverted": correlation})
            reason = "it is too late to negate the network; take another seed"
            if self.student.last is None:
                reason = (
                    "the network names no last layer that could be negated: set last in its class, or take another seed"
                )
            self.status(f"{found}: its sign is wrong, and {reason}")
            return False
        negate(self.student, optimizer, self.average)
        log.write(step, {"negated": correlation})
        self.status(f"{found}: its last layer was negated")
        return True


def fix_polarity(student: Enhancer, batches: Sequence[Tensor]) -> bool:
    """Negate ``student``'s last layer in place if its estimates of ``batches``, [B,T] each, have the wrong sign.

    A network that names no last layer is left alone. Nothing else changes: no batch-norm statistic and no random
    generator.

    Returns:
        Whether the layer was negated.
    """
    wrong = student.last is not None and mean(_correlation_in_training(student, batches, batches)).item() < 0
    if wrong:
        _negate_last_layer(student)
    return wrong


def target_correlation(student: Enhancer, batch: Batch, teacher: AnyTeacher | None) -> float | None:
    """Return the correlation of ``student``, in training mode, with its target for ``batch``, over all processes.

    The target is clean speech, or the teacher's estimate if no item has a reference. Nothing changes in the student.

    Returns:
        -1 to 1; None where some process has no target.
    """
    rows = batch.labelled
    if rows is None or len(rows):
        part = batch if rows is None else batch.part(rows)
        noisy, target = part.noisy, part.clean
    else:
        noisy, target = batch.noisy, None if teacher is None else teacher(batch).wave
    own = noisy.new_tensor(math.nan) if target is None else _correlation_in_training(student, [noisy], [target])
    value = mean(own).item()  # NaN in one process makes NaN in all, so that all decide alike
    return None if math.isnan(value) else value


def _correlation_in_training(student: Enhancer, noisy: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Return the mean correlation of a copy's estimates with ``targets``, [B,T] each, in training mode."""
    twin = copy.deepcopy(student).train()
    values = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for wave, target in zip(noisy, targets, strict=True):
            values.append(correlation(twin(wave), target))
    return torch.stack(values).mean()


def correlation(estimate: Tensor, target: Tensor) -> Tensor:
    """Return the mean over items of the normalised inner product of two [B,T]; an item in which one is silent is 0."""
    return torch.cosine_similarity(estimate.float(), target.float(), dim=-1).mean()


def negate(student: Enhancer, optimizer: Any, average: Enhancer | None = None) -> None:
    """Negate the last layer of ``student`` and of its ``average``, and the optimiser's running mean of its gradients.

    The gradients of the layer change their sign with its weights: Adam's mean of gradients has to follow, while its
    mean of squared gradients stays as it is.
    """
    for parameter in _last_parameters(student):
        moment = optimizer.state.get(parameter, {}).get("exp_avg")
        if moment is not None:
            moment.neg_()
    _negate_last_layer(student)
    if average is not None:
        _negate_last_layer(average)


def _negate_last_layer(network: Enhancer) -> None:
    with torch.no_grad():
        for parameter in _last_parameters(network):
            parameter.neg_()


def _last_parameters(network: Enhancer) -> Iterator[nn.Parameter]:
    if network.last is None:
        raise ValueError(f"{network.name} names no last layer")
    return network.get_submodule(network.last).parameters()
