"""How a run trains: the section ``train`` of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sotto.errors import InputError


@dataclass(frozen=True)
class Settings:
    """The defaults are those of MANNER as published, which MV-AT shares.

    Args:
        epochs: passes over the data; ``steps`` overrules it.
        steps: optimiser steps in all.
        batch_size: segments per step, in each process of a run that ``torchrun`` or ``srun`` started several of.
        max_lr: Adam's learning rate at its highest.
        schedule: how the learning rate gets there and on from there; see ``sotto.train.schedule``.
        warmup_steps: steps up to ``max_lr``; of the schedule ``transformer`` only.
        grad_clip: largest norm of the gradient; none by default.
        sync_batch_norm: normalise over the items of all processes, not of each; on GPUs only.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``, as lightning-fabric names them.
        seed: of the initial weights, the order of the data and every draw in it.
        accelerator: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        workers: processes that prepare batches ahead of the training step.
        threads: threads of a CPU's arithmetic; all cores when left out.
        validate_every: steps between validations; an epoch when left out.
        validate_items: validation recordings used, evenly spread over all; all when left out.
        log_every: steps between two log records, which carry means over these steps.
        save_every: steps between saves of the state, beside those at validations.

    Raises:
        InputError: a number that is out of range.
    """

    epochs: int = 350
    steps: int | None = None
    batch_size: int = 4
    max_lr: float = 1e-3
    schedule: Literal["one_cycle", "constant", "transformer"] = "one_cycle"
    warmup_steps: int = 4000
    grad_clip: float | None = None
    sync_batch_norm: bool = False
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: int = 0
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: int = 1
    threads: int | None = None
    validate_every: int | None = None
    validate_items: int | None = None
    log_every: int = 50
    save_every: int = 500

    def __post_init__(self) -> None:
        least = {"epochs": 1, "steps": 1, "batch_size": 1, "seed": 0, "workers": 0, "threads": 1}
        least |= {"warmup_steps": 1, "validate_every": 1, "validate_items": 1, "log_every": 1, "save_every": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"train.{name}", str(value), f"at least {low}")
        for name in ("max_lr", "grad_clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"train.{name}", str(value), "a number above 0")
