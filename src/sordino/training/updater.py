"""The updates of a run's weights: the optimiser and learning rate of the current stage, and the average of weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn

from sordino.models import Enhancer
from sordino.training.average import average_of
from sordino.training.collectives import mean
from sordino.training.objective import Objective
from sordino.training.optimizer import Stepper, optimizer_of
from sordino.training.schedule import schedule
from sordino.training.settings import Settings
from sordino.training.stages import StageRange, optimizer_range, stage_index
from sordino.types import Batch


class Updater:
    """Takes the steps of a run: the gradient of a batch, and the update of ``student`` and ``objective`` along it.

    Args:
        fabric: of the run.
        student: the network to train, on its device.
        objective: what is minimised, prepared and on its device; its methods may have weights of their own.
        settings: of the run.
        plan: the stages of the run in steps.

    Attributes:
        average: the exponential average of the student's weights; None without ``train.ema``.
        optimizer, schedule: of the current stage; see ``enter``.
        stepper: takes the steps, and counts those that it skips.
    """

    def __init__(
        self, fabric: Any, student: Enhancer, objective: Objective, settings: Settings, plan: Sequence[StageRange]
    ) -> None:
        self.fabric, self.student, self.objective = fabric, student, objective
        self.settings, self.plan = settings, plan
        self.stepper = Stepper(fabric, settings.grad_clip)
        self.average = None if settings.ema is None else average_of(student, settings.ema)
        self._range, self._starts = (0, 0), [stage.start for stage in plan]
        self.enter(0)

    def enter(self, step: int) -> None:
        """Make the stage of ``step`` the current one; one that resets gets a new optimiser and schedule."""
        self.objective.weighting.enter(stage_index(self.plan, step), self._starts)
        steps = optimizer_range(self.plan, step)
        if steps != self._range:
            self._range = steps
            optimizer = optimizer_of([self.student, self.objective], self.settings)
            self.schedule = schedule(optimizer, self.settings, steps[1] - steps[0])
            self.optimizer: Any = self.fabric.setup_optimizers(optimizer)

    def train_step(self, model: nn.Module, batch: Batch, step: int) -> dict[str, float]:
        """Take one step; return its terms, as means over all processes, and the weights that change from step to step.

        Terms that need clean speech are left out where no item of the step has any.

        The batch goes in as a function: see ``sordino.training.fabric.Learner``.
        """
        self.optimizer.zero_grad()
        total, terms = model(lambda: batch, step)
        self.fabric.backward(total)
        self.update(model)
        values = dict(zip(("total", *terms), mean(torch.stack([total, *terms.values()])).tolist(), strict=True))
        logged = {name: values[name] for name in ("total", *self.objective.meaningful(terms, batch))}
        return logged | self.objective.weighting.moving(step)

    def update(self, model: nn.Module) -> None:
        """Take one optimiser step along the gradients of ``model``, and move the average and the learning rate.

        The learning rate moves with the steps of the run, also when a gradient that is not finite made the optimiser
        skip its step: otherwise a schedule would not end where the run ends.
        """
        taken = self.stepper.step(model, self.optimizer)
        if taken and self.average is not None:
            self.average.update_parameters(self.student)
        with warnings.catch_warnings():
            if not taken:
                # PyTorch takes a skipped first step for a schedule that is called before its optimiser.
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            self.schedule.step()

    @property
    def estimate_from(self) -> int:
        """The first step that trains the estimate of the student; a stage before it trains features alone."""
        methods, weighting = self.objective.methods, self.objective.weighting
        for index, stage in enumerate(self.plan):
            for name in weighting.active_in(index):
                if name.startswith("loss/") or methods[name.removeprefix("kd/")].needs_estimate:
                    return stage.start
        return 0

    @property
    def averaged(self) -> Enhancer | None:
        """The network with averaged weights, where the run has one."""
        return None if self.average is None else cast("Enhancer", self.average.module)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {
            "stepper": self.stepper.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], step: int) -> None:
        """Restore what ``state_dict`` returned after ``step`` steps, at the ``max_lr`` of the settings."""
        state = state | _rescaled(state["optimizer"], state["schedule"], self.settings.max_lr)
        self.stepper.load_state_dict(state["stepper"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        # The optimiser that took the last step, also where the next stage resets it.
        self.enter(max(step - 1, 0))
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def _rescaled(optimizer: Mapping[str, Any], schedule: Mapping[str, Any], max_lr: float) -> dict[str, Any]:
    """Return the states of an optimiser and its schedule, with learning rates that ``max_lr`` has scaled."""
    groups = optimizer["param_groups"]
    before = groups[0].get("max_lr", groups[0].get("initial_lr"))
    if before is None or before == max_lr:
        return {"optimizer": optimizer, "schedule": schedule}
    ratio = max_lr / before
    rates = ("lr", "initial_lr", "max_lr", "min_lr")
    scaled = []
    for group in groups:
        scaled.append(group | {name: ratio * group[name] for name in rates if name in group})
    # The schedule keeps copies of the rates: those of its start, and those of its last step.
    lists = {}
    for name in ("base_lrs", "_last_lr"):
        lists[name] = [ratio * rate for rate in schedule[name]]
    return {"optimizer": {**optimizer, "param_groups": scaled}, "schedule": {**schedule, **lists}}
