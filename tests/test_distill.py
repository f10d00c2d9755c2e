"""Distillation: one contract for every method."""

from __future__ import annotations

import contextlib

import pytest
import torch

from helpers.networks import batch_of, network
from sordino.conformance import methods
from sordino.conformance.base import NotClaimed
from sordino.distill.methods import METHODS
from sordino.distill.teachers import Teacher
from sordino.errors import InputError
from sordino.training import Objective

every_method = pytest.mark.parametrize("name", METHODS)
SMALL = {
    "manner-s": {"hidden": 12, "depth": 2},
    "manner-b": {"hidden": 12, "depth": 2},
    "unet": {"width": 8, "depth": 3, "groups": 2},
    "demucs": {"hidden": 4, "depth": 3},
}
FOREIGN = [("unet", "unet"), ("manner-s", "demucs"), ("demucs", "unet")]
BY_VIEWS = ("mvat",)
"""Methods that read what only some networks have."""
NOT_CLAIMED = {
    "zero when equal": [
        "abc",
        "afd",
        "alp",
        "bounded",
        "clskd",
        "cosine",
        "factor",
        "fitnets",
        "reviewkd",
        "semckd",
        "vid",
    ],
    "clean speech": ["bounded", "dispatch"],
    "items apart": ["clskd", "semckd", "similarity"],
    "unlike features": ["bounded", "dispatch", "mvat", "output"],
}
"""Checks -> the methods that do not claim what is checked; every other method must hold it."""


@every_method
@pytest.mark.parametrize("check", methods.CHECKS)
def test_every_method_holds_what_it_owes(name: str, check: str) -> None:
    unclaimed = name in NOT_CLAIMED.get(check, ())
    with pytest.raises(NotClaimed) if unclaimed else contextlib.nullcontext():
        methods.CHECKS[check](METHODS[name])


@every_method
@pytest.mark.parametrize("names", FOREIGN)
def test_any_teacher_teaches_any_student(name: str, names: tuple[str, str]) -> None:
    pair = methods.Pair(*((one, SMALL[one]) for one in names))
    if name in BY_VIEWS:
        with pytest.raises(InputError, match="share no"):
            methods.learns(METHODS[name], pair)
    else:
        methods.learns(METHODS[name], pair)


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
