"""The checks find what they look for: losses and methods that are wrong in one respect fail the check of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sordino.conformance import losses, methods
from sordino.conformance.base import Broken, run
from sordino.distill.base import Method
from sordino.losses import LOSSES, create
from sordino.types import Batch, View

DIFFERENCES = "finite differences"


class Scaled(torch.autograd.Function):
    """The identity, whose gradient is wrong by a factor."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.factor * gradients[0], None


class Steep(nn.Module):
    """A loss whose gradient is too steep by a tenth."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.loss = create(name)

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        return self.loss(reference, Scaled.apply(estimate, 1.1), noisy)


@pytest.mark.parametrize("name", LOSSES)
def test_a_gradient_that_is_wrong_by_a_tenth_is_found(name: str) -> None:
    with pytest.raises(Broken, match=r"the gradient along a direction is .*, and finite differences give"):
        losses.CHECKS[DIFFERENCES](lambda: Steep(name))


class OfItem(nn.Module):
    """The absolute error, whose gradient by one item alone is wrong."""

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        steep = torch.cat([estimate[:1], Scaled.apply(estimate[1:], 1.1)])
        return (reference - steep).abs().mean(-1)


class Detached(nn.Module):
    """The absolute error as a square over itself, detached, so that the gradient is twice the slope."""

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        error = reference - estimate
        return (error.square() / (error.detach().abs() + 1e-3)).mean(-1)


@pytest.mark.parametrize("loss", [OfItem, Detached])
def test_a_gradient_that_is_partly_wrong_is_found(loss: Callable[[], nn.Module]) -> None:
    with pytest.raises(Broken, match="finite differences give"):
        losses.CHECKS[DIFFERENCES](loss)


class Feature(Method):
    """The distance of the second of two features, read beside the estimate; its gradient is off by ``factor``."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def connect(self, student: Any, teacher: Any) -> None:
        self.read(student, teacher, ["encoder.1", "encoder.2"], ["encoder.1", "encoder.2"])

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        feature = 1e-4 * Scaled.apply(student.feats["encoder.2"], self.factor).square().mean()
        return (student.wave - teacher.wave).abs().mean() + student.feats["encoder.1"].square().mean() + feature


def test_a_small_gradient_is_not_hidden_by_large_ones() -> None:
    methods.CHECKS[DIFFERENCES](Feature)
    with pytest.raises(Broken, match="finite differences give"):
        methods.CHECKS[DIFFERENCES](lambda: Feature(1.1))


class Noisy(nn.Module):
    """A distance through a network with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.through = nn.Sequential(nn.Conv1d(1, 8, 16, 8), nn.Dropout(0.5))

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        return (self.through(reference[:, None]) - self.through(estimate[:, None])).square().mean((1, 2))


class NoisyMethod(Method):
    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        return nn.functional.dropout(student.wave - teacher.wave).square().mean()


@pytest.mark.parametrize(("checks", "make"), [(losses.CHECKS, Noisy), (methods.CHECKS, NoisyMethod)], ids=str)
def test_what_is_random_is_named_at_once(checks: Any, make: Callable[[], nn.Module]) -> None:
    (result,) = run({DIFFERENCES: checks[DIFFERENCES]}, make)
    assert result == (DIFFERENCES, "fails", "not deterministic: two calls differ")
