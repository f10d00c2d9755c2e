"""Exponential average of the weights, which is validated and saved in place of the last weights.

Averaging over the last steps removes the noise of their batches, and so does the work of a lower learning rate
(Polyak and Juditsky 1992). The decay warms up as min(decay, (1 + n) / (10 + n)) after n steps, as in TensorFlow's
``ExponentialMovingAverage``, so that short runs are not an average of their random beginning.

PyTorch's ``AveragedModel`` does the work. Buffers are averaged like weights: the running statistics of a batch norm
then belong to the same steps as the weights before it, while a copy of the last statistics would belong to a network
that is never used. Constants stay what they are, and counters are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def average_of(student: nn.Module, decay: float) -> AveragedModel:
    """Create an average that starts as a copy of ``student``; its ``update_parameters`` adds the next weights.

    Args:
        student: the network that trains.
        decay: share of the average that each update keeps, once the warm-up is over.
    """
    average = AveragedModel(student, multi_avg_fn=_ema(decay), use_buffers=True)
    return average.requires_grad_(False).eval()


def _ema(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Return the update that ``AveragedModel`` applies to all tensors of one type at once."""

    def update(averages: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        # ``count`` is the number of updates before this one.
        if averages[0].is_floating_point():
            warm = min(decay, (1 + int(count)) / (10 + int(count)))
            get_ema_multi_avg_fn(warm)(list(averages), list(values), count)
            for average, value in zip(averages, values, strict=True):
                # The difference of two infinities, as the masks of attention hold them, is not a number.
                average.copy_(torch.where(average.isnan(), value, average))
        else:
            for average, value in zip(averages, values, strict=True):
                average.copy_(value)

    return update
