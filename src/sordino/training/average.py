"""The exponential average of the weights, which is validated and shipped in place of the last weights.

Averaging over the last steps takes away what the noise of their batches did, and so stands in for a lower learning rate
(Polyak and Juditsky 1992). The decay warms up as min(decay, (1 + n) / (10 + n)) after n steps, as in TensorFlow's
``ExponentialMovingAverage``, so that short runs are not an average of their random beginning.

PyTorch's ``AveragedModel`` does the work. Buffers are averaged like weights: the running statistics of a batch norm
then belong to the same steps as the weights before it, where a copy of the last ones would belong to a network that is
not shipped. Constants stay what they are, and counters are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def average_of(student: nn.Module, decay: float) -> AveragedModel:
    """An average that begins as ``student``; ``update_parameters`` takes in its next weights.

    Args:
        student: a network, as it trains; it is copied.
        decay: what the average keeps of itself at each step, once it is warm.
    """
    average = AveragedModel(student, multi_avg_fn=_ema(decay), use_buffers=True)
    return average.requires_grad_(False).eval()


def _ema(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """One step of the average over tensors of one type, of which ``count`` have been taken in before."""

    def update(averages: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        if averages[0].is_floating_point():
            warm = min(decay, (1 + int(count)) / (10 + int(count)))
            get_ema_multi_avg_fn(warm)(list(averages), list(values), count)
        else:
            for average, value in zip(averages, values, strict=True):
                average.copy_(value)

    return update
