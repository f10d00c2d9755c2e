"""The optimiser of a run, and the steps that it refuses.

``adamw`` decays weights apart from their gradients (Loshchilov and Hutter, ICLR 2019). Biases, the scales of norms and
the slopes of PReLU are left out, as is usual: they are few, and pulling them to 0 changes what a layer does rather than
how much it has learnt by heart. All of them have a single axis, but for norms over several axes at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from sordino.errors import InputError
from sordino.training.settings import Settings

WEIGHT_DECAY = 0.01
"""PyTorch's default of AdamW."""
REFUSALS = 20
"""Steps in a row without a finite gradient that end a run. ``16-mixed`` looks for its loss scale so, from 2^16 down."""


def optimizer_of(modules: Sequence[nn.Module], settings: Settings) -> Optimizer:
    """The optimiser that ``settings`` name, for the parameters of ``modules``, at the learning rate ``max_lr``."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    if settings.optimizer == "adam":
        return Adam(parameters, lr=settings.max_lr)
    decay = WEIGHT_DECAY if settings.weight_decay is None else settings.weight_decay
    norms = [one for module in modules for one in module.modules() if isinstance(one, nn.LayerNorm)]
    spared = {id(parameter) for norm in norms for parameter in norm.parameters()}
    matrices = [one for one in parameters if one.ndim > 1 and id(one) not in spared]
    others = [one for one in parameters if one.ndim <= 1 or id(one) in spared]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return AdamW([group for group in groups if group["params"]], lr=settings.max_lr)


class Stepper:
    """Takes the steps of an optimiser, and refuses those whose gradient is not finite.

    Such a gradient, of a finite loss, comes from a kink that one batch has hit; a step along it would turn every weight
    into NaN. The step is left out and counted, and a run that has nothing else any more is ended.

    Args:
        fabric: of the run.
        clip: largest norm of the gradient; None leaves it as it is.

    Attributes:
        refused: steps that were left out so far.
        in_a_row: of these the last ones, without a good step between them.
    """

    def __init__(self, fabric: Any, clip: float | None) -> None:
        self.fabric, self.clip = fabric, clip
        self.refused, self.in_a_row = 0, 0

    def step(self, model: nn.Module, optimizer: Any) -> bool:
        """Clip the gradients and take one step; returns whether it was taken.

        With several processes the gradients are averaged already, so all decide alike.

        Raises:
            InputError: there have been ``REFUSALS`` gradients in a row that were not finite.
        """
        if math.isfinite(self._norm(model, optimizer)):
            optimizer.step()
            self.in_a_row = 0
            return True
        self.refused += 1
        self.in_a_row += 1
        if self.in_a_row >= REFUSALS:
            found = f"the gradient was not finite in {REFUSALS} steps in a row"
            raise InputError("train", found, "finite gradients", "lower train.max_lr, or train in 32-true")
        if self.fabric.strategy.precision.state_dict():  # 16-mixed: its scaler refuses by itself, and scales less
            optimizer.step()
        return False

    def _norm(self, model: nn.Module, optimizer: Any) -> float:
        """The norm of all gradients before they are clipped."""
        if self.clip is None:
            gradients = [one.grad for one in model.parameters() if one.grad is not None]
            return torch.nn.utils.get_total_norm(gradients).item()
        return self.fabric.clip_gradients(model, optimizer, max_norm=self.clip, error_if_nonfinite=False).item()

    def state_dict(self) -> dict[str, int]:
        """The counts, for a run that goes on later."""
        return {"refused": self.refused, "in_a_row": self.in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on counting."""
        self.refused, self.in_a_row = state["refused"], state["in_a_row"]
