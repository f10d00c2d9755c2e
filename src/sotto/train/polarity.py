"""Which way up a run begins.

The STFT losses of waveform networks compare magnitudes: to them an estimate and its negative are the same. What
remains, the mean absolute difference of the samples, is a tenth of the whole at the start, and so a network whose
random weights happen to answer with its input upside down may stay there: it learns the magnitudes of clean speech,
its PESQ rises like that of any other, and its waveform never agrees. Of eight seeds of MANNER-S-1.5GF two begin so,
and one of them, trained on real speech for 1,500 steps, was still upside down (docs/results.md).

Our remedy, which no paper has: before the first step, the layer that ends the network is negated if the untrained
estimate of the first batch correlates negatively with its input. Random weights are as likely with either sign.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from sotto.models import Enhancer
from sotto.train.across import mean


def set_upright(student: Enhancer, noisy: Tensor) -> None:
    """Negate ``student``'s last layer in place if its estimate of ``noisy`` [B,T] is upside down.

    A network that names no such layer is left alone. Nothing else changes: no statistic of a batch norm, no random
    generator.
    """
    if student.last is None:
        return
    twin = copy.deepcopy(student).train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        correlation = mean((twin(noisy) * noisy).sum())
        if correlation < 0:
            for parameter in student.get_submodule(student.last).parameters():
                parameter.neg_()
