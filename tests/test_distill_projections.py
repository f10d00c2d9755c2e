"""Attention over projected layers, SemCKD and ALP-KD: each equation against a slow version."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.encoders import (
    batch,
    encoder,
    every_shape,
    made,
    networks,
    slow_planes,
    slow_resize,
    softmax,
    unit,
    value,
    views,
)
from helpers.noise import precise
from sordino.distill.layers.attention import same_size, shorten
from sordino.distill.layers.resize import same_axes
from sordino.distill.methods.alp import AttentionLayerProjection, LayerProjection, fuse
from sordino.distill.methods.semckd import SemanticCalibration, SemanticCalibrationDistillation
from sordino.errors import InputError

# SemCKD


@every_shape
def test_semckd_is_its_slow_version(shapes: str) -> None:
    student, teacher = networks(shapes)
    method = made(SemanticCalibrationDistillation("encoder", dim=8, frames=7, bins=3), student, teacher)
    assert isinstance(method, SemanticCalibrationDistillation)
    scheme = method.weighing
    assert isinstance(scheme, SemanticCalibration)

    def embed(name: str, features: Sequence[Tensor]) -> np.ndarray:
        rows = []
        for i, feature in enumerate(features):
            flat = [item.ravel() for item in feature.numpy()]
            gram = np.array([[np.sum(one * other) for other in flat] for one in flat])
            hidden = np.maximum(gram @ value(scheme, f"{name}.{i}.0.weight").T + value(scheme, f"{name}.{i}.0.bias"), 0)
            out = hidden @ value(scheme, f"{name}.{i}.2.weight").T + value(scheme, f"{name}.{i}.2.bias")
            rows.append(np.stack([unit(row) for row in out]))
        return np.stack(rows, axis=1)

    weights = softmax(np.einsum("bsd,btd->bst", embed("queries", student), embed("keys", teacher)))
    total = 0.0
    for s, student_feature in enumerate(student):
        for t, teacher_feature in enumerate(teacher):
            one, other = same_size(*shorten([student_feature, teacher_feature], 7, 3))
            assert max(one.shape[2] - 7, one.shape[3] - 3) <= 0
            projected = scheme.projections[s * len(teacher) + t](one).detach().numpy()
            for b in range(3):
                total += weights[b, s, t] * np.mean((projected[b] - other[b].numpy()) ** 2)
    expected = total / (3 * len(student))
    assert method(*views(student, teacher), batch()).item() == pytest.approx(expected, abs=1e-10)
    assert np.allclose(method.figures()["attention"].numpy(), weights.mean(axis=0), atol=1e-10)


def test_semckd_is_bound_to_one_batch_size() -> None:
    method = made(encoder("semckd"), *networks("waveform", items=4))
    with pytest.raises(InputError, match="a batch of 3 items; expected 4"):
        method(*views(*networks("waveform", items=3)), batch(3))


def test_projections_have_the_paper_s_layers_and_a_bounded_width() -> None:
    method = made(encoder("semckd", hidden=20), *networks("spectrum"))
    scheme = method.get_submodule("weighing")
    weights = [tuple(scheme.get_parameter(f"projections.2.{i}.weight").shape) for i in (0, 3, 6)]
    assert weights == [(20, 4, 1, 1), (20, 20, 3, 3), (10, 20, 1, 1)]
    assert scheme.get_parameter("projections.0.0.weight").shape == (10, 4, 1, 1)
    one_bin = made(encoder("semckd"), *networks("waveform")).get_submodule("weighing")
    assert one_bin.get_parameter("projections.0.3.weight").shape == (10, 10, 3, 1)


# ALP-KD


@every_shape
def test_alp_is_its_slow_version(shapes: str) -> None:
    student, teacher = networks(shapes)
    method = made(AttentionLayerProjection("encoder", 8, frames=7, bins=3), student, teacher)
    assert isinstance(method, AttentionLayerProjection)
    scheme = method.weighing
    assert isinstance(scheme, LayerProjection)
    every = [slow_planes(one) for one in same_axes(shorten([*student, *teacher], 7, 3))]
    student_feature, teacher_feature = every[:2], every[2:]
    total, weights = 0.0, np.zeros((3, 2, 3))
    for s, feature in enumerate(student_feature):
        size = min(feature.shape[2], 7), min(feature.shape[3], 3)
        matrix, bias = value(scheme, f"maps.{s}.weight")[:, :, 0, 0], value(scheme, f"maps.{s}.bias")
        for b in range(3):
            small = np.stack([slow_resize(channel, *size) for channel in feature[b]])
            own = np.einsum("dc,cnf->dnf", matrix, small) + bias[:, None, None]
            states = []
            for one in teacher_feature:
                small = np.stack([slow_resize(channel, *size) for channel in one[b]])
                states.append(np.einsum("dc,cnf->dnf", value(scheme, f"fixed_{one.shape[1]}"), small))
            products = [np.mean(np.sum(own * state, axis=0)) for state in states]
            weights[b, s] = softmax(np.array(products) / np.sqrt(8))
            fused = sum(weight * state for weight, state in zip(weights[b, s], states, strict=True))
            total += np.mean((own - fused) ** 2) / (3 * 2)
    assert method(*views(student, teacher), batch()).item() == pytest.approx(total, abs=1e-10)
    assert np.allclose(method.figures()["attention"].numpy(), weights.mean(axis=0), atol=1e-10)


def test_fusing_one_layer_is_that_layer() -> None:
    fused, attention = fuse(precise(2, 4, 5, 3, level=0.5), (target := precise(2, 1, 4, 5, 3, seed=1, level=0.5)))
    assert torch.equal(fused, target[:, 0])
    assert attention.tolist() == [[1], [1]]


def test_the_teacher_s_maps_do_not_learn_and_are_saved() -> None:
    student, teacher = networks("waveform")
    method, other = (made(encoder("alp"), student, teacher, seed=seed) for seed in (1, 2))
    shown = views(student, teacher)
    assert not [name for name, _ in method.named_parameters() if "fixed" in name]
    assert method(*shown, batch()) != other(*shown, batch())
    other.load_state_dict(method.state_dict())
    assert method(*shown, batch()) == other(*shown, batch())


def test_teacher_layers_of_equal_width_keep_their_angles() -> None:
    """On average; one map for all of them is what makes the angle between two layers mean something."""
    student, teacher = (
        [precise(3, 4, 12, level=0.5)],
        [precise(3, 32, 12, seed=1, level=0.5), precise(3, 32, 12, seed=1, level=0.5)],
    )
    scheme = made(encoder("alp", dim=512), student, teacher).get_submodule("weighing")
    matrix = scheme.get_buffer("fixed_32")
    assert [name for name, _ in scheme.named_buffers()] == ["fixed_32"]
    assert torch.allclose(matrix.T @ matrix, torch.eye(32).double(), atol=0.25)
