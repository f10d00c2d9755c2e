"""The optimiser of a run, and the steps that it skips.

``adamw`` decays weights separately from their gradients (Loshchilov and Hutter, ICLR 2019). Biases, the scales of norms
and the slopes of PReLU are not decayed, as is usual: they are few, and moving them towards 0 changes what a layer does
rather than how far it overfits. All of these have a single axis, except the scales of norms over several axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from sordino.training.divergence import Diverged
from sordino.training.settings import Settings

WEIGHT_DECAY = 0.01
"""The default of PyTorch's AdamW."""
MAX_SKIPPED = 20
"""Skipped steps in a row that end a run. ``16-mixed`` skips a few to find its loss scale, which it lowers from 2^16."""


def optimizer_of(modules: Sequence[nn.Module], settings: Settings) -> Optimizer:
    """Create the optimiser that ``settings`` name for the parameters of ``modules``, at learning rate ``max_lr``."""
    parameters: list[nn.Parameter] = []
    for module in modules:
        parameters += module.parameters()
    if settings.optimizer == "adam":
        return Adam(parameters, lr=settings.max_lr)
    decay = WEIGHT_DECAY if settings.weight_decay is None else settings.weight_decay
    of_norms = _ids_in_norms(modules)
    decayed, others = [], []
    for parameter in parameters:
        if parameter.ndim > 1 and id(parameter) not in of_norms:
            decayed.append(parameter)
        else:
            others.append(parameter)
    groups = [{"params": decayed, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return AdamW([group for group in groups if group["params"]], lr=settings.max_lr)


def _ids_in_norms(modules: Sequence[nn.Module]) -> set[int]:
    """Return the ids of the parameters of layer norms; tensors are compared value by value, so ids stand for them."""
    ids: set[int] = set()
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, nn.LayerNorm):
                ids |= {id(parameter) for parameter in layer.parameters()}
    return ids


class Stepper:
    """Takes the steps of an optimiser, and skips those whose gradient is not finite.

    A finite loss has such a gradient where one batch happens to hit a point at which the loss has no derivative. A step
    along it would turn every weight into NaN, so it is skipped and counted. A run of nothing but such steps is ended.

    Args:
        fabric: of the run.
        clip: largest norm of the gradient; None leaves it as it is.

    Attributes:
        skipped: number of skipped steps so far.
        skipped_in_a_row: number of skipped steps since the last one that was taken.
    """

    def __init__(self, fabric: Any, clip: float | None) -> None:
        self.fabric, self.clip = fabric, clip
        self.skipped, self.skipped_in_a_row = 0, 0

    def step(self, model: nn.Module, optimizer: Any) -> bool:
        """Clip the gradients and take one step, if they are finite; return whether it was taken.

        With several processes the gradients are averaged already, so all decide alike.

        Raises:
            InputError: the gradients of ``MAX_SKIPPED`` steps in a row were not finite.
        """
        if math.isfinite(self._clip(model, optimizer)):
            optimizer.step()
            self.skipped_in_a_row = 0
            return True
        self.skipped += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= MAX_SKIPPED:
            found = f"the gradient was not finite in {MAX_SKIPPED} steps in a row"
            raise Diverged("train", found, "finite gradients", "lower train.max_lr, or train in 32-true")
        if self.fabric.strategy.precision.state_dict():
            # 16-mixed: the gradient scaler skips the step by itself, and lowers its scale only if it is asked to step.
            optimizer.step()
        return False

    def _clip(self, model: nn.Module, optimizer: Any) -> float:
        """Clip the gradients if that is wanted; return the norm of all of them before."""
        if self.clip is None:
            gradients = [one.grad for one in model.parameters() if one.grad is not None]
            return torch.nn.utils.get_total_norm(gradients).item()
        return self.fabric.clip_gradients(model, optimizer, max_norm=self.clip, error_if_nonfinite=False).item()

    def state_dict(self) -> dict[str, int]:
        """Return the counts, for a resumed run."""
        return {"refused": self.skipped, "in_a_row": self.skipped_in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore the counts that ``state_dict`` returned."""
        self.skipped, self.skipped_in_a_row = state["refused"], state["in_a_row"]
