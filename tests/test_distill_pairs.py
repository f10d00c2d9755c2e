"""What holds for all methods that compare pairs of layers."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from helpers.views import SIZES, batch_of, precise_view, ready, unlabelled, view_of
from sordino import models
from sordino.distill.base import Method
from sordino.distill.layers.layer_loss import aligned
from sordino.distill.methods import METHODS
from sordino.distill.methods.bounded import Bounded
from sordino.distill.methods.channel_time import ChannelTime
from sordino.distill.methods.dispatch import Dispatch
from sordino.distill.methods.factor import FactorTransfer
from sordino.distill.methods.fitnets import FitNets
from sordino.distill.methods.vid import Variational
from sordino.distill.teachers import Teacher
from sordino.training import Objective
from sordino.types import View

PAIRED = ("fitnets", "vid", "fsp", "factor", "channel_time")
LEARNING = ("clskd", *PAIRED)
NAMES = ("similarity", "two_step", "rkd", "pkt", *LEARNING)


def learnt(name: str, student: View, method: Method) -> list[Tensor]:
    """The features, and what a method learns itself, all of which have a gradient."""
    features, weights = list(student.feats.values()), list(method.parameters())
    if name == "fsp":  # a flow needs two layers, and the decoder has one, which learns nothing
        features, weights = features[:-1], [weight for weight in weights if weight.grad is not None]
    return [*features, *weights]


@pytest.mark.parametrize(("student_shape", "teacher_shape"), list(itertools.product(SIZES, SIZES)))
def test_features_come_onto_the_student_s_grid(student_shape: str, teacher_shape: str) -> None:
    for one, other in zip(
        view_of(student_shape, 1).feats.values(), view_of(teacher_shape, 20).feats.values(), strict=True
    ):
        student, teacher = aligned(one, other)
        assert student.shape[2:] == teacher.shape[2:]
        assert student.numel() == one.numel()
        assert teacher.shape[1] == other.shape[1] * (other.shape[3] if other.ndim == 4 and one.ndim == 3 else 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("student_shape", "teacher_shape"), list(itertools.product(SIZES, SIZES)))
def test_sizes_and_axes_may_differ_in_any_way(name: str, student_shape: str, teacher_shape: str) -> None:
    student, teacher = precise_view(student_shape, 1), precise_view(teacher_shape, 20)
    for feature in student.feats.values():
        feature.requires_grad_()
    method = ready(METHODS[name](), student, teacher)
    loss = method(student, teacher, unlabelled())
    loss.backward()
    assert loss.shape == ()
    assert loss > 0
    for one in learnt(name, student, method):
        assert one.grad is not None
        assert torch.isfinite(one.grad).all()
        assert one.grad.abs().max() > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("silent", ["student", "teacher", "both", "frames", "item"])
def test_silence_is_no_trap(name: str, silent: str) -> None:
    student, teacher = view_of("waves", 1), view_of("waves", 20)
    for view, who in ((student, "student"), (teacher, "teacher")):
        for feature in view.feats.values():
            if silent in (who, "both"):
                feature.zero_()
            elif silent == "frames":
                feature[:, :, 2:] = 0
            elif silent == "item":
                feature[1] = 0
    for feature in student.feats.values():
        feature.requires_grad_()
    method = ready(METHODS[name](), student, teacher)
    loss = method(student, teacher, batch_of())
    assert torch.isfinite(loss)
    loss.backward()
    for one in learnt(name, student, method):
        assert one.grad is not None
        assert torch.isfinite(one.grad).all()
        assert one.grad.abs().max() < 1e4


@pytest.mark.parametrize("name", PAIRED)
def test_autocast_hands_back_single_precision(name: str) -> None:
    student, teacher = view_of("spectra", 1), view_of("wider spectra", 20)
    method = ready(METHODS[name](), student, teacher).eval()
    plain = method(student, teacher, batch_of())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = method(student, teacher, batch_of())
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(plain.item(), rel=0.05)


@pytest.mark.parametrize("name", LEARNING)
def test_what_a_method_learns_is_no_part_of_the_student(name: str) -> None:
    student, teacher = (models.create("manner-s", hidden=hidden, depth=2) for hidden in (12, 18))
    keys = set(student.state_dict())
    objective = Objective({}, {name: METHODS[name]()}, student, Teacher(teacher))
    objective.prepare(student, batch_of(2, 1000))
    assert set(student.state_dict()) == keys
    learnt = list(objective.parameters())
    assert learnt
    assert not {id(one) for one in learnt} & {id(one) for one in student.parameters()}
    before = [one.detach().clone() for one in learnt]
    optimizer = torch.optim.SGD(learnt, lr=0.1)
    objective(student, batch_of(2, 1000))[0].backward()
    optimizer.step()
    assert any(not torch.equal(one, old) for one, old in zip(learnt, before, strict=True))


@pytest.mark.parametrize("name", ["fsp", "channel_time"])
def test_equal_features_of_one_size_cost_nothing_and_need_no_parameters(name: str) -> None:
    student = view_of("spectra", 1)
    method = ready(METHODS[name](), student, student)
    assert not list(method.parameters())
    assert method(student, student, batch_of()) == 0


def test_wrong_arguments_are_refused() -> None:
    for wrong, words in (
        (lambda: Bounded("kl"), "no such loss"),
        (lambda: Bounded(margin=-1), "margin is 0 or more"),
        (lambda: FitNets("middle"), "side is both"),  # pyright: ignore[reportArgumentType]
        (lambda: Variational(variance=0), "variance is above"),
        (lambda: FactorTransfer(rate=0), "rate is above 0"),
        (lambda: ChannelTime(0, 0), "weights are 0 or more"),
        (lambda: ChannelTime(-1), "weights are 0 or more"),
        (lambda: ChannelTime(temperature=0), "temperature is above 0"),
        (lambda: Dispatch(0), "are shares"),
        (lambda: Dispatch(split=1.5), "are shares"),
        (lambda: Dispatch(frames=0), "bins and frames"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()
