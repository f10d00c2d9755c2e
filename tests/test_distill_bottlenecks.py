"""Latent alignment: where its bottlenecks live, and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from helpers.taps import anywhere
from helpers.views import batch_of
from sordino import models
from sordino.distill.methods import METHODS
from sordino.distill.methods.cosine import CosineAlignment
from sordino.distill.teachers import ExternalTeacher, Teacher
from sordino.errors import InputError
from sordino.losses import LOSSES
from sordino.models import Enhancer
from sordino.training import Objective
from sordino.types import View


def unet(**arguments: int) -> Enhancer:
    torch.manual_seed(0)
    return models.create("unet", **{"width": 8, "depth": 3, "groups": 2, **arguments})


def objective(student: Enhancer, teacher: Enhancer, **arguments: Any) -> Objective:
    made = Objective(
        {"l1": LOSSES["l1"]()}, {"cosine": METHODS["cosine"](**arguments)}, student, Teacher(teacher), None
    )
    made.prepare(student, batch_of(2, 2000))
    return made


def test_the_student_s_bottleneck_trains_apart_from_the_student() -> None:
    student, teacher = unet(), unet(width=12, bottleneck=2)
    names = list(student.state_dict())
    made = objective(student, teacher, side="both", expansion=4)
    assert sorted(tuple(one.shape) for one in made.parameters()) == [
        (12 * 21, 4 * 8 * 21, 1, 1),
        (4 * 8 * 21, 8 * 21, 1, 1),
    ]
    made(student, batch_of(2, 2000))[0].backward()
    assert all(one.grad is not None and one.grad.abs().max() > 0 for one in made.parameters())
    assert all(one.grad is None for one in teacher.parameters())
    assert list(student.state_dict()) == names


def test_the_teacher_s_bottleneck_is_the_one_that_it_was_trained_with() -> None:
    student, teacher, batch = unet(), unet(bottleneck=2).eval(), batch_of(2, 2000)
    method = objective(student, teacher, side="teacher").methods["cosine"]
    assert (method.student_taps, method.teacher_taps) == (("latent",), ("latent.bottleneck",))
    shown = Teacher(teacher)(batch, ["latent", "latent.bottleneck"])
    assert method(View(batch.noisy, {"latent": shown.feats["latent.bottleneck"]}), shown, batch) < 1e-6
    assert method(shown, shown, batch) > 0.1


@pytest.mark.parametrize("side", ["teacher", "both"])
def test_a_teacher_without_a_bottleneck_is_refused_with_advice(side: str) -> None:
    for teacher in (unet(), models.create("manner-b", hidden=12, depth=2)):
        with pytest.raises(InputError, match=r"no bottleneck on the teacher's side.*model\.bottleneck=2"):
            objective(unet(), teacher, side=side)


@pytest.mark.parametrize(
    ("name", "looked_for"),
    [
        ("rkd", "taps encoder.N or decoder.N in both, N from 1"),
        ("abc", "taps encoder.N, and decoder.N beside it, N from 1"),
        ("reviewkd", "taps encoder.N in both, N from 1"),
        ("mvat", "taps encoder.N.channel or encoder.N.global or encoder.N.local, or of the decoder, in both, N from 1"),
    ],
)
def test_taps_of_other_names_are_listed_with_what_is_looked_for(name: str, looked_for: str) -> None:
    latent = {"latent": anywhere("x")}
    many = {f"transformer.{block}": anywhere("x") for block in range(8)}
    declared = (
        r"\(the student declares latent, the teacher transformer.0, transformer.1, .*, transformer.5, and 2 more\)"
    )
    with pytest.raises(InputError, match=f"{declared}; expected {re.escape(looked_for)}"):
        METHODS[name]().connect(latent, many)


def test_networks_without_a_latent_are_refused() -> None:
    with pytest.raises(InputError, match="the student declares no latent"):
        CosineAlignment().connect({}, {"latent": anywhere("x")})
    with pytest.raises(InputError, match="the teacher declares no latent"):
        CosineAlignment(side="both").connect({"latent": anywhere("x")}, {})
    outside = ExternalTeacher(lambda noisy: noisy, "other", 16000)
    with pytest.raises(InputError, match="shows its estimate alone; take output"):
        Objective({}, {"cosine": CosineAlignment()}, unet(), outside)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"side": "left"}, "'left'; there are student, teacher, both, none"),
        ({"distance": "l1"}, "'l1'; there are cosine, mse"),
        ({"mode": "bin"}, "'bin'; there are frame, utterance, channel"),
        ({"distance": "mse", "mode": "channel"}, "mode channel belongs to the cosine distance"),
        ({"expansion": 0}, "at least 1, not 0"),
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CosineAlignment(**wrong)
