"""Faults of the user's own networks, losses, methods and teachers are one line that names them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.recipes import batch_of
from sordino import losses, models
from sordino.conformance.base import run as conform
from sordino.distill import methods
from sordino.distill.base import Method
from sordino.distill.teachers import Teacher
from sordino.distill.teachers.observe import observe
from sordino.errors import InputError
from sordino.experiments.check import check
from sordino.experiments.recipe import read
from sordino.inference.model import open_model
from sordino.models.unet import UNet
from sordino.training import Objective
from sordino.types import Batch, Tap, View

SMALL = partial(models.create, "unet", width=4, depth=2, groups=1)


def fault(text: str) -> Any:
    raise KeyError(text)


class Raising(Method):
    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        return student.feats["encoder.9"]


class Float(Method):
    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        return 0.5  # pyright: ignore[reportReturnType]


class InPlace(Method):
    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        return (student.wave - teacher.wave.mul_(0.5)).square().mean()


def halving(reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
    return (reference.div_(2) - estimate).abs().mean(-1)


class Drawing(Method):
    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        return ((student.wave - teacher.wave) * torch.rand_like(student.wave)).square().mean()


class NoMethod(nn.Module):
    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        return student.wave.mean()


class Bare(Method):
    def __init__(self) -> None:
        self.weight = 1.0


class Refusing(Method):
    def __init__(self) -> None:
        raise RuntimeError("no licence")


class Faulty(nn.Module):
    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        return reference @ estimate


def faulty(reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
    return fault("gain")


class Cut(UNet):
    """A network whose estimate is too short."""

    def forward(self, noisy: Tensor) -> Tensor:
        return super().forward(noisy)[:, :-3]


class Broken(UNet):
    def forward(self, noisy: Tensor) -> Tensor:
        return fault("weights")


class Misspelt(UNet):
    @property
    def taps(self) -> dict[str, Tap]:
        return {"one": Tap("encodr", "BCNF", stride=160, offset=0.0)}


def terms(student: Any = None, teacher: Any = None, loss: str = "l1", method: str | None = None) -> Any:
    own = {} if method is None else {"own": methods.create(method)}
    objective = Objective({"loss": losses.create(loss)}, own, student or SMALL(), teacher or Teacher(SMALL()))
    return objective(student or SMALL(), batch_of(2, 0.1))


def own(name: str) -> str:
    return f"{__name__}:{name}"


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: terms(method=own("Raising")), r":Raising: raised KeyError \(line \d+ of .*\): 'encoder.9'"),
        (lambda: terms(method=own("Float")), r"kd/own: returned a float; expected a tensor of shape \[\]"),
        (lambda: terms(method=own("InPlace")), r"kd/own: changes in place what it is given; expected new tensors"),
        (lambda: terms(loss=own("halving")), r"loss/loss: changes in place what it is given"),
        (lambda: methods.create(own("Bare")), r"Bare: its constructor does not call super\(\)\.__init__\(\)"),
        (lambda: methods.create(own("Refusing")), r":Refusing: raised RuntimeError \(line \d+ of .*\): no licence"),
        (lambda: terms(loss=own("Faulty")), r":Faulty: raised RuntimeError \(line \d+"),
        (lambda: terms(loss=own("faulty")), r":faulty: raised KeyError \(line \d+ of .*\): 'gain'"),
        (lambda: terms(Broken(4, 2, groups=1)), r":Broken: raised KeyError \(line \d+ of .*\): 'weights'"),
        (lambda: terms(Cut(4, 2, groups=1)), r"student: its estimate has the shape \[2, 1597\]; .*\[2, 1600\]"),
        (
            lambda: terms(teacher=Teacher(Cut(4, 2, groups=1)), method="output"),
            r"teacher: its estimate has the shape \[2, 1597\]; expected that of its input, \[2, 1600\]",
        ),
    ],
)
def test_what_own_code_raises_or_returns_is_one_line(attempt: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        attempt()
    assert "\n" not in str(raised.value)


def test_a_teacher_in_python_whose_estimate_has_another_shape_is_refused() -> None:
    """[B,1,T] would compare every recording with every other one's target, without an error."""

    class Wide:
        name, sample_rate, taps = "wide", 16000, ()

        def __call__(self, batch: Batch, taps: Any = ()) -> View:
            return View(batch.noisy[:, None], {})

    with pytest.raises(InputError, match=r"teacher: its estimate has the shape \[2, 1, 1600\]; expected .*\[2, 1600\]"):
        terms(teacher=Wide(), method="output")


def test_a_method_that_is_none_is_refused_by_its_kind() -> None:
    values = {"data": {"name": "synthetic"}, "model": {"name": "unet"}, "teacher": {"checkpoint": "unet-24"}}
    with pytest.raises(InputError, match=r"distill.*:faulty: is a function; expected a class derived from .*Method"):
        read({**values, "distill": {own("faulty"): {}}})
    with pytest.raises(InputError, match="its kind is not clear from its base class or its signature"):
        check(own("NoMethod"))


def test_errors_of_sordinos_own_parts_keep_their_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses.L1, "forward", lambda *_: fault("inside"))
    with pytest.raises(KeyError, match="inside"):
        terms()


def test_a_tap_whose_module_does_not_exist_is_named() -> None:
    network = Misspelt(4, 2, groups=1)
    with pytest.raises(InputError, match=r"tap one of .*: the network has no module encodr; did you mean encode"):
        observe(network, torch.zeros(1, 1600), ["one"])


def quitting(noisy: np.ndarray) -> np.ndarray:
    sys.exit(5)


def test_code_that_exits_does_not_end_the_command() -> None:
    with pytest.raises(InputError, match=r":quitting: raised SystemExit \(line \d+ of .*\): 5"):
        open_model(own("quitting"))(np.zeros(1600, np.float32))

    def check(_make: Callable[[], Any]) -> str:
        sys.exit(3)

    (result,) = conform({"one": check}, lambda: None)
    assert (result.outcome, result.remark) == ("fails", "SystemExit: 3")


def test_the_check_says_first_what_changes_its_arguments_or_gives_no_tensor() -> None:
    for kind, name, remark in (
        ("method", "InPlace", "the method: changes in place what it is given"),
        ("method", "Float", "the loss is a float, and should be a tensor"),
        ("loss", "halving", "the loss: changes in place what it is given"),
    ):
        _, (first, *_) = check(own(name), kind)
        assert first.outcome == "fails"
        assert remark in first.remark


def test_a_method_that_draws_is_said_to_draw_and_nothing_else() -> None:
    _, results = check(own("Drawing"), "method")
    failed = {one.check: one.remark for one in results if one.outcome == "fails"}
    assert list(failed) == ["finite differences"]
    assert failed["finite differences"] == "not deterministic: two calls differ"


class Untyped(Method):
    def __init__(self, power) -> None:  # type: ignore[no-untyped-def]  # pyright: ignore[reportMissingParameterType]
        super().__init__()

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        return (student.wave - teacher.wave).abs().mean()


def test_an_argument_without_a_type_is_asked_for_in_words() -> None:
    with pytest.raises(InputError, match=r"power: missing; expected a value$"):
        check(f"{__name__}:Untyped")
