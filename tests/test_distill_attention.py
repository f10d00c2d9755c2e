"""Attention over layers, ABC-KD and AFD: each equation against a slow version, and what the papers claim."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from helpers.encoders import (
    FAMILY,
    batch,
    encoder,
    every_shape,
    layers,
    made,
    networks,
    slow_energy,
    slow_norm,
    slow_planes,
    slow_resize,
    slow_summaries,
    softmax,
    unit,
    value,
    views,
)
from helpers.noise import precise
from sordino.distill.layers.attention import same_size, shorten
from sordino.distill.layers.resize import resize_planes, same_axes
from sordino.distill.methods.abc_kd import AttentionCompression, Compression, compressed_distance
from sordino.distill.methods.afd import AttentionFeatureDistillation, FeatureMatching, map_distances


@pytest.mark.parametrize(("frames", "bins"), [(3, 2), (12, 10), (20, 4), (5, 17), (1, 1)])
def test_planes_are_resized_along_both_axes(frames: int, bins: int) -> None:
    feature = precise(2, 3, 12, 10, level=0.5)
    expected = [[slow_resize(channel, frames, bins) for channel in item] for item in feature.numpy()]
    assert np.allclose(resize_planes(feature, frames, bins).numpy(), expected, atol=1e-12)


def test_frequencies_become_channels_where_a_layer_has_none() -> None:
    both = [precise(2, 3, 7, 4, level=0.5), precise(2, 5, 9, 6, level=0.5)]
    assert same_axes(both) == both
    assert [one.shape for one in same_axes([*both, precise(2, 4, 11, level=0.5)])] == [
        (2, 12, 7),
        (2, 30, 9),
        (2, 4, 11),
    ]
    student_feature, teacher_feature = same_size(*both)
    assert (student_feature.shape, teacher_feature.shape) == ((2, 3, 7, 4), (2, 5, 7, 4))
    assert [one.shape for one in shorten([*both, precise(2, 4, 11, level=0.5)], 8, 5)] == [
        (2, 3, 7, 4),
        (2, 5, 8, 5),
        (2, 4, 8),
    ]
    student_feature, teacher_feature = same_size(both[0], precise(2, 4, 11, level=0.5))
    assert (student_feature.shape, teacher_feature.shape) == ((2, 12, 7, 1), (2, 4, 7, 1))


# ABC-KD


@every_shape
@pytest.mark.parametrize("values", ["normalised", "energy"])
def test_abc_is_its_slow_version(shapes: str, values: Any) -> None:
    student, teacher = networks(shapes)
    method = made(AttentionCompression(side="encoder", values=values, dim=8), student, teacher)
    assert isinstance(method, AttentionCompression)
    scheme = method.weighing
    assert isinstance(scheme, Compression)
    queries, keys = slow_summaries(scheme.queries, student), slow_summaries(scheme.keys, teacher)
    places = value(scheme, "student_positions") @ value(scheme, "teacher_positions").T
    weights = softmax((np.einsum("bsd,btd->bst", queries, keys) + places) / np.sqrt(8))
    flat = all(one.ndim == 3 for one in teacher)
    total = 0.0
    for s, student_feature in enumerate(student):
        for b in range(3):
            own = slow_energy(student_feature[b].numpy())
            size = len(own), 1 if flat else own.shape[1]
            maps = [slow_resize(slow_energy(one[b].numpy()), *size) for one in teacher]
            maps = [unit(one) if values == "normalised" else one for one in maps]
            goal = unit(np.einsum("t,tp->p", weights[b, s], np.stack([one.ravel() for one in maps])))
            total += np.sum((unit(slow_resize(own, *size)) - goal) ** 2) / (len(student) * 3)
    assert method(*views(student, teacher), batch()).item() == pytest.approx(total, abs=1e-10)
    assert np.allclose(method.figures()["attention"].numpy(), weights.mean(axis=0), atol=1e-10)


@every_shape
def test_abc_on_projected_features_is_its_slow_version(shapes: str) -> None:
    student, teacher = networks(shapes)
    method = made(AttentionCompression(side="encoder", values="projection", dim=8), student, teacher)
    assert isinstance(method, AttentionCompression)
    scheme = method.weighing
    assert isinstance(scheme, Compression)
    weights = scheme.weights(student, teacher).detach().numpy()
    total = 0.0
    for s, student_feature in enumerate(student):
        for t, teacher_feature in enumerate(teacher):
            matrix = value(scheme, f"projections.{s * len(teacher) + t}.weight")[:, :, 0, 0]
            bias = value(scheme, f"projections.{s * len(teacher) + t}.bias")
            one, other = (grid.numpy() for grid in same_size(student_feature, teacher_feature))
            for b in range(3):
                projected = np.einsum("dc,cnf->dnf", matrix, one[b]) + bias[:, None, None]
                total += weights[b, s, t] * np.sum((unit(projected) - unit(other[b])) ** 2)
    expected = total / (3 * len(student))
    assert method(*views(student, teacher), batch()).item() == pytest.approx(expected, abs=1e-10)


def test_a_layer_s_loudness_does_not_outweigh_attention() -> None:
    feature, teacher = precise(2, 4, 12, seed=1, level=0.5), layers([(5, 20), (3, 30)], 2, items=2)
    attention = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)
    louder = [teacher[0], -50 * teacher[1][:, torch.tensor([2, 0, 1])]]
    for normalise in (True, False):
        before, after = (compressed_distance(feature, layers, attention, normalise) for layers in (teacher, louder))
        assert torch.allclose(before, after) == normalise


def test_a_student_layer_that_equals_the_compression_costs_nothing() -> None:
    feature = precise(2, 4, 12, seed=1, level=0.5)
    teacher = [precise(2, 5, 20, level=0.5), -3 * feature[:, torch.randperm(4)]]
    only = torch.tensor([[0.0, 1.0]]).double().expand(2, 2)
    assert compressed_distance(feature, teacher, only).tolist() == pytest.approx([0, 0], abs=1e-12)
    assert (compressed_distance(feature, teacher, only.flip(1)) > 0.01).all()


def test_attention_finds_the_layer_that_fits() -> None:
    """Only the method's own parameters train here."""
    teacher = layers([(5, 40), (8, 20), (10, 9)], 20, items=4)
    student = [teacher[1][:, :6].clone()]
    method = made(AttentionCompression(side="encoder", dim=16), student, teacher)
    optimizer = torch.optim.Adam(method.parameters(), lr=0.02)
    found = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = method(*views(student, teacher), batch(4))
        loss.backward()
        optimizer.step()
        found.append((loss.item(), method.figures()["attention"][0, 1].item()))
    assert found[-1][0] < 0.5 * found[0][0]
    assert found[-1][1] > 0.8 > found[0][1]


@pytest.mark.parametrize("attention", FAMILY[1:])
def test_abc_puts_its_relatives_in_its_place(attention: Any) -> None:
    student, teacher = networks("waveform")
    values = []
    for method in (AttentionCompression(attention, "encoder"), encoder(attention)):
        values.append(made(method, student, teacher, seed=5)(*views(student, teacher), batch()))
        assert (method.rows, method.columns) == (
            ([f"encoder.{i}" for i in (1, 2, 3)], ["encoder.1", "encoder.2"])
            if attention == "afd"
            else (["encoder.1", "encoder.2"], [f"encoder.{i}" for i in (1, 2, 3)])
        )
    assert torch.equal(*values)


# AFD


@every_shape
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_afd_is_its_slow_version(shapes: str, reduction: Any) -> None:
    student, teacher = networks(shapes)
    method = made(AttentionFeatureDistillation("encoder", 8, reduction), student, teacher)
    assert isinstance(method, AttentionFeatureDistillation)
    scheme = method.weighing
    assert isinstance(scheme, FeatureMatching)
    queries = slow_summaries(scheme.queries, teacher)
    keys = np.maximum(slow_summaries(scheme.keys, student), 0).reshape(3 * 2, 8)
    keys = slow_norm(keys @ value(scheme, "bilinear.0.weight").T + value(scheme, "bilinear.0.bias"))
    logits = np.einsum("bstd,btd->bts", keys.reshape(3, 2, 3, 8), queries)
    weights = softmax((logits + value(scheme, "teacher_positions") @ value(scheme, "student_positions").T) / np.sqrt(8))
    flat, total = all(one.ndim == 3 for one in student), 0.0
    for t, teacher_feature in enumerate(teacher):
        for b in range(3):
            goal = slow_energy(teacher_feature[b].numpy())
            widest = max(slow_planes(one).shape[3] for one in student)
            size = len(goal), 1 if flat else min(goal.shape[1], widest)
            for s, student_feature in enumerate(student):
                own = unit(slow_resize(slow_energy(student_feature[b].numpy()), *size))
                squares = (unit(slow_resize(goal, *size)) - own) ** 2
                total += weights[b, t, s] * (squares.mean() if reduction == "mean" else squares.sum()) / 3
    assert method(*views(student, teacher), batch()).item() == pytest.approx(total, abs=1e-10)
    assert np.allclose(method.figures()["attention"].numpy(), weights.mean(axis=0), atol=1e-10)


def test_afd_compares_where_features_are_strong_and_not_their_values() -> None:
    student = layers([(4, 24), (6, 12)], 1)
    likes = [-7 * one[:, torch.randperm(one.shape[1])] for one in student]
    distances = map_distances(student, likes)
    assert distances.shape == (3, 2, 2)
    assert torch.diagonal(distances, dim1=1, dim2=2).abs().max() < 1e-12
    assert distances[:, 0, 1].min() > 1e-4
