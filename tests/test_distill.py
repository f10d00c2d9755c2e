"""Distillation: one contract for every method."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from helpers.networks import batch_of, network
from helpers.noise import noise
from sordino import models
from sordino.distill.base import Method
from sordino.distill.methods import METHODS
from sordino.distill.teachers import Teacher, observe
from sordino.errors import InputError
from sordino.models import Enhancer
from sordino.training import Objective
from sordino.types import Batch, View

every_method = pytest.mark.parametrize("name", METHODS)


def other(name: str, seed: int) -> Enhancer:
    """A small network of another kind than MANNER."""
    small = {"unet": {"width": 8, "depth": 3, "groups": 2}, "demucs": {"hidden": 4, "depth": 3}}
    torch.manual_seed(seed)
    return models.create(name, **small[name]) if name in small else network(name, seed=seed)


def connected(name: str, student: Enhancer, teacher: Enhancer) -> Method:
    """A method that knows the taps and the sizes of both networks."""
    method, noisy = METHODS[name](), batch_of().noisy
    method.connect(student.taps, teacher.taps)
    torch.manual_seed(7)
    with torch.no_grad():
        views = [
            observe(copy.deepcopy(one).eval(), noisy, taps)
            for one, taps in ((student, method.student_taps), (teacher, method.teacher_taps))
        ]
    method.prepare(*views)
    return method


def shown(teacher: Enhancer, method: Method, batch: Batch) -> View:
    """The teacher's View; its estimate is the clean speech if ``method`` asks which network comes closer to that."""
    view = Teacher(teacher)(batch, method.teacher_taps)
    return View(batch.clean, view.feats) if method.needs_clean and batch.clean is not None else view


PAIRS = [("manner-s", "manner-b"), ("unet", "unet"), ("unet", "manner-b"), ("manner-s", "demucs"), ("demucs", "unet")]
BY_VIEWS = ("mvat",)
"""Methods that read what only some networks have."""


@every_method
@pytest.mark.parametrize(("student_name", "teacher_name"), PAIRS)
def test_any_teacher_teaches_any_student(name: str, student_name: str, teacher_name: str) -> None:
    student, teacher, batch = other(student_name, 0), other(teacher_name, 1), batch_of()
    if name in BY_VIEWS and {student_name, teacher_name} & {"unet", "demucs"}:
        with pytest.raises(InputError, match="share no"):
            connected(name, student, teacher)
        return
    method = connected(name, student, teacher)
    target = shown(teacher, method, batch)
    loss = method(observe(student, batch.noisy, method.student_taps), target, batch)
    assert torch.isfinite(loss)
    assert loss > 0
    loss.backward()
    reached = [one.grad.abs().max() for one in student.parameters() if one.grad is not None]
    assert max(reached) > 0
    for learnt, parameter in method.named_parameters():
        assert parameter.grad is not None, learnt
        assert torch.isfinite(parameter.grad).all(), learnt
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(not figure.requires_grad and torch.isfinite(figure).all() for figure in method.figures().values())


# The contract of every method


@every_method
def test_the_loss_is_positive_and_moves_only_the_student(name: str) -> None:
    student, teacher, batch = network(), network("manner-b", 18, 3, seed=1), batch_of()
    method = connected(name, student, teacher)
    target = shown(teacher, method, batch)
    loss = method(observe(student, batch.noisy, method.student_taps), target, batch)
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert loss > 0
    loss.backward()
    # The first convolution lies before every tap.
    first = student.get_parameter("in_conv.0.weight").grad
    assert first is not None
    assert torch.isfinite(first).all()
    assert first.abs().max() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not any(tensor.requires_grad for tensor in (target.wave, *target.feats.values()))


@every_method
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(name: str) -> None:
    student, batch = network("manner-b").eval(), batch_of()
    teacher = copy.deepcopy(student)
    method = connected(name, student, teacher)
    loss = method(
        observe(student, batch.noisy, method.student_taps), Teacher(teacher)(batch, method.teacher_taps), batch
    )
    if method.zero_when_equal:
        assert loss.abs() < 1e-6
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in student.parameters() if p.grad is not None)


@every_method
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    student, teacher = network().double().eval(), network("manner-b", depth=3, seed=1).double()
    batch = batch_of(1100, torch.float64)
    method = METHODS[name]()
    method.connect(student.taps, teacher.taps)
    with torch.no_grad():
        shown = observe(student, batch.noisy, method.student_taps)
        target = Teacher(teacher)(batch, method.teacher_taps)
    target = View(noise(2, 1100, seed=3, dtype=torch.float64), target.feats)
    # Noise in the shape of the student's features, so that no value sits on the kink of a ReLU.
    feats = [noise(*feature.shape, seed=40 + i, dtype=torch.float64) for i, feature in enumerate(shown.feats.values())]
    inputs = (batch.noisy.clone().requires_grad_(), *(feature.requires_grad_() for feature in feats))
    torch.manual_seed(7)
    method.prepare(View(shown.wave, dict(zip(method.student_taps, feats, strict=True))), target)
    method.double()

    def loss(wave: Tensor, *feats: Tensor) -> Tensor:
        return method(View(wave, dict(zip(method.student_taps, feats, strict=True))), target, batch)

    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)


@every_method
def test_a_method_says_which_references_it_needs(name: str) -> None:
    student, teacher, batch = network(), network("manner-b", seed=1), batch_of()
    method = connected(name, student, teacher)
    views = observe(student, batch.noisy, method.student_taps), Teacher(teacher)(batch, method.teacher_taps)
    without = Batch(batch.noisy, None, batch.lengths)
    if not method.needs_clean:
        assert torch.equal(method(*views, without), method(*views, batch))


@every_method
def test_what_a_method_learns_is_made_once(name: str) -> None:
    student, teacher = network(), Teacher(network("manner-b", depth=3, seed=1))
    objective = Objective({}, {name: METHODS[name]()}, student, teacher)
    objective.prepare(student, batch_of())
    before = [id(parameter) for parameter in objective.parameters()]
    optimizer = torch.optim.SGD([*student.parameters(), *objective.parameters()], lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        objective(student, batch_of())[0].backward()
        optimizer.step()
    assert [id(parameter) for parameter in objective.parameters()] == before
    frozen = {id(parameter) for parameter in teacher.network.parameters()}
    assert not frozen & set(before)
