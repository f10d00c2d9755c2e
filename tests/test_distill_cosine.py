"""Latent alignment: its equation, and what a direction leaves free."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.noise import precise
from helpers.taps import anywhere, place
from helpers.views import batch_of
from sordino.distill.methods.cosine import CosineAlignment, Mode, cosine_distance
from sordino.errors import InputError
from sordino.types import Batch, View

MODES: list[Mode] = ["frame", "utterance", "channel"]
every_mode = pytest.mark.parametrize("mode", MODES)


def views(student: Tensor, teacher: Tensor, tap: str = "latent") -> tuple[View, View, Batch]:
    batch = batch_of(len(student), 2000)
    return View(batch.noisy, {"latent": student}), View(batch.noisy, {tap: teacher}), batch


def connected(tap: str = "latent", **arguments: Any) -> CosineAlignment:
    method = CosineAlignment(**arguments)
    method.connect({"latent": anywhere("x")}, {"latent": anywhere("x"), tap: anywhere("y")})
    return method


# The distance


@every_mode
def test_the_distance_is_its_slow_version(mode: Mode) -> None:
    student, teacher = precise(3, 5, 7, seed=1), precise(3, 5, 7, seed=2)
    cosines = []
    for student_feature, teacher_feature in zip(student.numpy(), teacher.numpy(), strict=True):
        rows = {
            "frame": [(student_feature[:, n], teacher_feature[:, n]) for n in range(7)],
            "utterance": [(student_feature.ravel(), teacher_feature.ravel())],
            "channel": [(student_feature[c], teacher_feature[c]) for c in range(5)],
        }[mode]
        cosines += [np.dot(a, b) / math.sqrt(np.dot(a, a) * np.dot(b, b)) for a, b in rows]
    assert cosine_distance(student, teacher, mode).item() == pytest.approx(1 - np.mean(cosines), abs=1e-12)


def test_the_distance_by_hand() -> None:
    # Two frames of two channels: (1, 0) beside (3, 4), whose cosine is 0.6, and (0, 2) beside (0, -1): -1.
    student, teacher = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.tensor([[[3.0, 0.0], [4.0, -1.0]]])
    assert cosine_distance(student, teacher).item() == pytest.approx(1 - (0.6 - 1) / 2)
    for mode in MODES:
        assert cosine_distance(student, student, mode).item() == pytest.approx(0, abs=1e-6)
        assert cosine_distance(student, -student, mode).item() == pytest.approx(2)


def test_the_scale_of_each_vector_is_free() -> None:
    student, teacher = precise(2, 4, 6, seed=1), precise(2, 4, 6, seed=2)
    scales: dict[Mode, Tensor] = {
        "frame": precise(2, 1, 6, seed=3).exp(),
        "utterance": precise(2, 1, 1, seed=3).exp(),
        "channel": precise(2, 4, 1, seed=3).exp(),
    }
    expected = {mode: cosine_distance(student, teacher, mode) for mode in MODES}
    for mode, scale in scales.items():
        assert torch.allclose(cosine_distance(scale * student, teacher, mode), expected[mode])
        assert torch.allclose(cosine_distance(student, scale * teacher, mode), expected[mode])
    assert not torch.allclose(cosine_distance(scales["frame"] * student, teacher, "channel"), expected["channel"])


@every_mode
def test_silence_has_no_direction(mode: Mode) -> None:
    teacher = precise(2, 3, 5, seed=1)
    silent = torch.zeros(2, 3, 5, dtype=torch.float64, requires_grad=True)
    for target, expected in ((teacher, 1.0), (torch.zeros_like(teacher), 0.0)):
        distance = cosine_distance(silent, target, mode)
        (gradient,) = torch.autograd.grad(distance, silent)
        assert distance.item() == expected
        assert not gradient.any()


def test_frames_in_which_the_teacher_is_silent_do_not_count() -> None:
    student, teacher = precise(2, 3, 6, seed=1), precise(2, 3, 6, seed=2)
    expected = cosine_distance(student[..., :4], teacher[..., :4])
    teacher[..., 4:] = 0
    assert cosine_distance(student, teacher).item() == pytest.approx(expected.item())


# The method


@pytest.mark.parametrize("arguments", [{}, {"mode": "utterance"}, {"mode": "channel"}, {"distance": "mse"}])
@pytest.mark.parametrize("shapes", [((2, 3, 9, 4), (2, 5, 6)), ((2, 3, 4), (2, 4, 8, 2)), ((2, 3, 5, 2), (2, 2, 5, 4))])
def test_the_equation_on_latents_of_any_shape(shapes: tuple[tuple[int, ...], ...], arguments: dict[str, Any]) -> None:
    student, teacher = precise(*shapes[0], seed=1), precise(*shapes[1], seed=2)
    method = CosineAlignment(expansion=3, **arguments)
    method.connect({"latent": place(student)}, {"latent": place(teacher)})
    method.prepare(*views(student, teacher)[:2])
    method.double()
    widen, narrow = (parameter.detach().numpy()[:, :, 0, 0] for parameter in method.parameters())
    student_feature, teacher_feature = _folded(student), _folded(teacher)
    assert widen.shape == (3 * student_feature.shape[1], student_feature.shape[1])
    assert narrow.shape == (teacher_feature.shape[1], 3 * student_feature.shape[1])
    length = min(student_feature.shape[-1], teacher_feature.shape[-1])
    student_feature, teacher_feature = (
        _averaged(np.einsum("dc,bcn->bdn", narrow @ widen, student_feature), length),
        _averaged(teacher_feature, length),
    )
    if method.distance == "mse":
        expected = np.mean((student_feature - teacher_feature) ** 2)
    else:
        axis = {"frame": (1,), "utterance": (1, 2), "channel": (2,)}[method.mode]
        norms = np.sqrt((student_feature**2).sum(axis) * (teacher_feature**2).sum(axis))
        expected = 1 - ((student_feature * teacher_feature).sum(axis) / norms).mean()
    assert method(*views(student, teacher)).item() == pytest.approx(expected, abs=1e-12)


def _folded(latent: Tensor) -> np.ndarray:
    array = latent.numpy()
    return array if array.ndim == 3 else np.moveaxis(array, 3, 2).reshape(len(array), -1, array.shape[2])


def _averaged(latent: np.ndarray, length: int) -> np.ndarray:
    """Frame n of ``length`` is the mean of what lies between n/length and (n+1)/length of the whole."""
    size = latent.shape[-1]
    edges = [(n * size // length, -(-(n + 1) * size // length)) for n in range(length)]
    return np.stack([latent[..., a:b].mean(-1) for a, b in edges], axis=-1)


def test_what_lies_behind_a_linear_map_costs_nothing_in_the_end() -> None:
    """A latent in other channels, in another order and at another scale is aligned by training the bottleneck alone."""
    teacher = precise(4, 6, 30, seed=1)
    student = 5 * torch.einsum("dc,bcn->bdn", precise(9, 6, seed=2), teacher)
    torch.manual_seed(0)
    method = connected()
    shown = views(student, teacher)
    method.prepare(*shown[:2])
    method.double()
    optimizer = torch.optim.Adam(method.parameters(), lr=0.01)
    first = method(*shown).item()
    for _ in range(150):
        optimizer.zero_grad()
        method(*shown).backward()
        optimizer.step()
    assert first > 0.5
    assert method(*shown) < 0.02


@pytest.mark.parametrize("distance", ["cosine", "mse"])
@pytest.mark.parametrize("side", ["none", "teacher"])
def test_without_a_bottleneck_equal_latents_cost_nothing(side: str, distance: str) -> None:
    latent = precise(2, 4, 7, 3, seed=1)
    tap = "latent.bottleneck" if side == "teacher" else "latent"
    method = connected("latent.bottleneck", side=side, distance=distance)
    student, teacher, batch = views(latent, latent.clone(), tap)
    method.prepare(student, teacher)
    assert method.teacher_taps == (tap,)
    assert not list(method.parameters())
    assert method(student, teacher, batch).item() == pytest.approx(0, abs=1e-12)
    wrong = View(teacher.wave, {tap: precise(2, 5, 7)})
    with pytest.raises(InputError, match=r"has 12 channels \(4 x 3 frequencies\) and the teacher's 5 channels"):
        method.prepare(student, wrong)


def test_silent_latents_are_no_trap() -> None:
    student, teacher, batch = views(torch.zeros(2, 3, 5, 4, requires_grad=True), torch.zeros(2, 6, 5))
    for arguments in ({}, {"mode": "utterance"}, {"mode": "channel"}, {"distance": "mse"}):
        method = connected(**arguments)
        method.prepare(student, teacher)
        loss = method(student, teacher, batch)
        (gradient,) = torch.autograd.grad(loss, student.feats["latent"])
        assert loss == 0
        assert not gradient.any()


def test_the_loss_is_in_single_precision_under_autocast() -> None:
    student, teacher, batch = views(precise(2, 8, 50).float(), precise(2, 6, 40, seed=1).float())
    method = connected()
    method.prepare(student, teacher)
    full = method(student, teacher, batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = method(student, teacher, batch)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), abs=0.02)
