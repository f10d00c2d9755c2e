"""The checks find what they look for: losses and methods that are wrong in one respect fail the check of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sordino.conformance import losses, methods
from sordino.conformance.base import Broken, run
from sordino.distill.base import Method
from sordino.distill.layers.layer_loss import aligned
from sordino.distill.layers.positions import match
from sordino.losses import LOSSES, create
from sordino.types import Batch, Tap, View

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


@pytest.mark.parametrize(
    ("checks", "make"), [(losses.CHECKS, Noisy), (methods.CHECKS, NoisyMethod)], ids=["loss", "method"]
)
def test_what_is_random_is_named_at_once(checks: Any, make: Callable[[], nn.Module]) -> None:
    (result,) = run({DIFFERENCES: checks[DIFFERENCES]}, make)
    assert result == (DIFFERENCES, "fails", "not deterministic: two calls differ")


class Gram(Method):
    """Products of the items of a batch with each other, which the class does not say."""

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        return (student.wave @ student.wave.T - teacher.wave @ teacher.wave.T).square().mean()


class Shares(Method):
    """A ratio of sums over the batch, in which a loud item counts for more than a faint one."""

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        return (student.wave - teacher.wave).abs().sum() / teacher.wave.abs().sum()


@pytest.mark.parametrize("make", [Gram, Shares])
def test_a_method_that_does_not_say_that_it_compares_items_is_found(make: Callable[[], Method]) -> None:
    with pytest.raises(Broken, match=r"the loss of a batch is .*, and the mean of its items' .*, or set across_items$"):
        methods.CHECKS["items apart"](make)


class Cropped(Method):
    """The distance of two features on the same samples, which have as many frames only where strides are equal."""

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        self.read(student, teacher, ["encoder.1"], ["encoder.1"])

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        places = self.student_places["encoder.1"], self.teacher_places["encoder.1"]
        features = self.sized(*match((student.feats["encoder.1"], teacher.feats["encoder.1"]), places))
        first, second = (feature.mean(1) for feature in features)
        return (first - second).square().mean()

    def sized(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        return student, teacher


class Resampled(Cropped):
    def sized(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        return aligned(student, teacher)


def test_a_method_that_does_not_resample_is_found() -> None:
    methods.CHECKS["gradient to the student alone"](Cropped)  # the first pair of networks has the same strides
    message = r"of other strides and axes: The size of tensor a .*: compare match and aligned, as docs/your-own-method"
    with pytest.raises(Broken, match=message):
        methods.CHECKS["unlike features"](Cropped)
    methods.CHECKS["unlike features"](Resampled)
