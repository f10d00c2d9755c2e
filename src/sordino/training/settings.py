"""Settings of a training run: the section ``train`` of a recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from sordino.errors import InputError, written

LARGEST_SEED, MOST_THREADS = 2**63 - 1, 1024
_NOT_READ = "does not read it"
UNREAD = {
    "one_cycle": {"min_lr": _NOT_READ, "warmup_steps": "has a warm-up of its own"},
    "transformer": {"min_lr": _NOT_READ},
    "constant": {"min_lr": _NOT_READ},
}
"""Schedule -> settings that have no effect with it, and why."""
VALIDATIONS = 10
"""Most validations of a run of a given number of steps, unless ``validate_every`` says otherwise."""


@dataclass(frozen=True)
class Settings:
    """Settings of a training run; the defaults but for ``select`` are those of MANNER as published, which
    MV-AT shares.

    Args:
        epochs: passes over the data; ignored where ``steps`` is given.
        steps: number of optimiser steps.
        batch_size: segments per step, in each process of a run that ``torchrun`` or ``srun`` started several of.
        max_lr: the learning rate at its highest.
        schedule: how the learning rate changes over the run; see ``sordino.training.schedule``.
        warmup_steps: steps up to ``max_lr``. When left out, 4,000 of ``transformer``, a twentieth of the steps of
            ``cosine``, none of ``constant``. ``one_cycle`` has a warm-up of its own and refuses another.
        min_lr: the learning rate at which ``cosine`` ends.
        optimizer: ``adam``, or ``adamw`` with its decoupled weight decay; see ``sordino.training.optimizer``.
        weight_decay: of ``adamw``; PyTorch's 0.01 when left out.
        grad_clip: largest norm of the gradient; none by default.
        ema: decay of the exponential average of the weights, such as 0.999; the average is then what is validated and
            saved. None by default; see ``sordino.training.average``.
        select: what chooses the best checkpoint: a column of ``sordino.metrics.COLUMNS``, or weights of several; see
            ``sordino.training.selection``, which has the default.
        sync_batch_norm: normalise over the items of all processes, not of each; on GPUs only.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``, as lightning-fabric names them.
        seed: of the initial weights, the order of the data and every random draw in it.
        accelerator: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        workers: processes that prepare batches ahead of the training step.
        threads: threads of a CPU's arithmetic; all cores when left out.
        validate_every: steps between validations. When left out an epoch; where ``steps`` is given, a tenth of the
            run if that is more, as a folder of a few recordings has epochs of a few steps.
        validate_items: validation recordings used, evenly spread over all; all when left out.
        log: where the numbers of the log are shown, beside ``log.jsonl``: ``tensorboard``, ``mlflow`` and ``wandb``.
        log_every: steps between two log records, which hold means over these steps.
        save_every: steps between saves of the state, beside those at validations.

    Raises:
        InputError: a number that is out of range.
    """

    epochs: int = 350
    steps: int | None = None
    batch_size: int = 4
    max_lr: float = 1e-3
    schedule: Literal["one_cycle", "cosine", "constant", "transformer"] = "one_cycle"
    warmup_steps: int | None = None
    min_lr: float = 1e-5
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float | None = None
    grad_clip: float | None = None
    ema: float | None = None
    select: str | dict[str, float] | None = None
    sync_batch_norm: bool = False
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: int = 0
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: int = 1
    threads: int | None = None
    validate_every: int | None = None
    validate_items: int | None = None
    log: list[Literal["tensorboard", "mlflow", "wandb"]] = field(default_factory=lambda: ["tensorboard"])
    log_every: int = 50
    save_every: int = 500

    def __post_init__(self) -> None:
        least = {"epochs": 1, "steps": 1, "batch_size": 1, "seed": 0, "workers": 0, "threads": 1}
        least |= {"warmup_steps": 1, "validate_every": 1, "validate_items": 1, "log_every": 1, "save_every": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"train.{name}", str(value), f"at least {low}")
        for name, high in {"seed": LARGEST_SEED, "threads": MOST_THREADS}.items():
            value = getattr(self, name)
            if value is not None and value > high:
                raise InputError(f"train.{name}", str(value), f"at most {high}")
        for name in ("max_lr", "grad_clip"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"train.{name}", str(value), "a number above 0")
        if self.ema is not None and not 0 < self.ema < 1:
            raise InputError("train.ema", str(self.ema), "a decay between 0 and 1, such as 0.999")
        self._check_schedule()
        if self.weight_decay is not None:
            if not 0 <= self.weight_decay < math.inf:
                raise InputError("train.weight_decay", str(self.weight_decay), "0 or more")
            if self.optimizer != "adamw":
                hint = "set train.optimizer=adamw"
                raise InputError("train.weight_decay", f"{self.optimizer} does not decay weights", "none", hint)

    def _check_schedule(self) -> None:
        """Refuse a learning rate out of range, and what the schedule does not read."""
        if not 0 <= self.min_lr < math.inf or (self.schedule == "cosine" and self.min_lr > self.max_lr):
            raise InputError("train.min_lr", str(self.min_lr), f"0 to train.max_lr, {self.max_lr:g}")
        for name, reason in UNREAD.get(self.schedule, {}).items():
            default = getattr(Settings, name)
            if getattr(self, name) != default:
                hint = f"set it to its default, {written(default)}, or set train.schedule=cosine"
                raise InputError(f"train.{name}", f"the schedule {self.schedule} {reason}", hint=hint)

    def validation_steps(self, per_epoch: int) -> int:
        """Return the number of steps between validations, from the number of steps in an epoch."""
        if self.validate_every is not None:
            return self.validate_every
        return per_epoch if self.steps is None else max(per_epoch, self.steps // VALIDATIONS)
