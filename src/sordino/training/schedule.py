"""Schedules of the learning rate over the steps of a run; ``train.schedule`` names one of them.

* ``one_cycle``: PyTorch's defaults of ``OneCycleLR`` (Smith and Topin 2018): from max_lr / 25 up to max_lr over 30 % of
  the steps and down along a cosine. It spans the whole run. MANNER and MV-AT use it.
* ``cosine``: up in a line to max_lr at step W = ``warmup_steps``, then down along half a cosine to ``min_lr`` at the
  last step (Loshchilov and Hutter, ICLR 2017, without restarts). It spans the whole run.
* ``constant``: max_lr throughout, as DEMUCS trains; after W steps up in a line, if W is given.
* ``transformer``: up in a line to max_lr at step W = ``warmup_steps``, then down with the inverse square root of the
  step (Vaswani et al., NeurIPS 2017, Eq. 3, with the peak max_lr in place of 1 / sqrt(d W)). Steps count from one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from sordino.errors import InputError
from sordino.training.settings import Settings

ONE_CYCLE_RISE = 0.3
"""Share of the steps in which ``one_cycle`` rises; PyTorch's default."""
WARMUP_SHARE = 0.05
"""Default share of warm-up steps of ``cosine``; published recipes have 1 to 10 %."""
TRANSFORMER_WARMUP = 4000
"""Default warm-up steps of ``transformer``, those of the paper (section 5.3)."""


def schedule(optimizer: Optimizer, settings: Settings, steps: int) -> LRScheduler:
    """Create the schedule that ``settings`` name; it is to be stepped once after every training step.

    Args:
        optimizer: has the learning rate ``settings.max_lr``.
        settings: of the run.
        steps: number of steps that the schedule spans.

    Raises:
        InputError: no such schedule.
    """
    warmup = warmup_of(settings, steps)
    if settings.schedule == "one_cycle":
        return OneCycleLR(optimizer, settings.max_lr, total_steps=steps, pct_start=ONE_CYCLE_RISE)
    if settings.schedule == "cosine":
        return LambdaLR(optimizer, _cosine(warmup, steps, settings.min_lr / settings.max_lr))
    if settings.schedule == "constant":
        return LambdaLR(optimizer, lambda done: min((done + 1) / warmup, 1.0))
    return LambdaLR(optimizer, lambda done: min((done + 1) / warmup, math.sqrt(warmup / (done + 1))))


def warmup_of(settings: Settings, steps: int) -> int:
    """Return the steps up to the peak of the learning rate, of ``steps`` in all.

    Raises:
        InputError: no such schedule.
    """
    if settings.schedule == "one_cycle":
        return round(ONE_CYCLE_RISE * steps)
    defaults = {"cosine": max(round(WARMUP_SHARE * steps), 1), "constant": 1, "transformer": TRANSFORMER_WARMUP}
    if settings.schedule not in defaults:
        raise InputError("train.schedule", settings.schedule, "one_cycle, cosine, constant or transformer")
    return settings.warmup_steps or defaults[settings.schedule]


def _cosine(warmup: int, steps: int, floor: float) -> Callable[[int], float]:
    """Return the share of max_lr as a function of the steps done; a run shorter than its warm-up has no peak."""

    def share(done: int) -> float:
        if done < warmup:
            return (done + 1) / warmup
        fallen = min((done - warmup + 1) / max(steps - warmup, 1), 1.0)
        return floor + (1 - floor) * (1 + math.cos(math.pi * fallen)) / 2

    return share
