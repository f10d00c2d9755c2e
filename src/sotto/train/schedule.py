"""How the learning rate moves over the steps of a run; ``train.schedule`` names one of these.

* ``one_cycle``: PyTorch's defaults of ``OneCycleLR`` (Smith and Topin 2018): from max_lr / 25 up to max_lr over 30 % of
  the steps and down along a cosine. It spans the whole run. MANNER and MV-AT train so.
* ``constant``: max_lr throughout, as DEMUCS trains.
* ``transformer``: up in a line to max_lr at step W = ``warmup_steps``, then down with the inverse square root of the
  step (Vaswani et al., NeurIPS 2017, Eq. 3, with the peak max_lr in place of 1 / sqrt(d W)). Steps count from one.
"""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from sotto.errors import InputError
from sotto.train.settings import Settings


def schedule(optimizer: Optimizer, settings: Settings, steps: int) -> LRScheduler:
    """The schedule that ``settings`` name, to be stepped once after every step of ``optimizer``.

    Args:
        optimizer: its learning rate is ``settings.max_lr``.
        settings: of the run.
        steps: of the run in all.

    Raises:
        InputError: no such schedule.
    """
    if settings.schedule == "one_cycle":
        return OneCycleLR(optimizer, settings.max_lr, total_steps=steps)
    if settings.schedule == "constant":
        return LambdaLR(optimizer, lambda done: 1.0)
    if settings.schedule == "transformer":
        warmup = settings.warmup_steps
        return LambdaLR(optimizer, lambda done: min((done + 1) / warmup, math.sqrt(warmup / (done + 1))))
    raise InputError("train.schedule", settings.schedule, "one_cycle, constant or transformer")
