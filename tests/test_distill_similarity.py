"""Similarity matrices along every axis, and what holds for all methods that compare rows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from helpers.noise import precise
from helpers.taps import anywhere
from helpers.views import FLAT, TAPS, precise_view, ready, unlabelled
from sordino.distill.base import Method
from sordino.distill.layers.rows import Axis, rows
from sordino.distill.methods import METHODS
from sordino.distill.methods.clskd import CrossLayerSimilarity
from sordino.distill.methods.pkt import Probabilistic
from sordino.distill.methods.rkd import Relational, distances
from sordino.distill.methods.similarity import Similarity, TwoStep, similarity, similarity_distance
from sordino.errors import InputError
from sordino.types import View

# Similarity matrices


def slow_similarity(given: np.ndarray) -> np.ndarray:
    gram = np.array([[np.sum(a * b) for b in given] for a in given])
    return np.array([row / math.sqrt(sum(value**2 for value in row)) for row in gram])


def slow_rows(feature: np.ndarray, axis: Axis) -> list[np.ndarray]:
    """Groups of rows, each row a vector, for a feature [B,C,N,F] whose sizes need no resampling."""
    items, _, frames, bins = feature.shape
    if axis == "batch":
        return [np.array([item.ravel() for item in feature])]
    if axis == "frame_batch":
        return [np.array([item[:, n].ravel() for item in feature]) for n in range(frames)]
    if axis == "intra_time":
        return [np.array([feature[b, :, n].ravel() for n in range(frames)]) for b in range(items)]
    return [np.array([feature[b, :, :, f].ravel() for f in range(bins)]) for b in range(items)]


@pytest.mark.parametrize("axis", ["batch", "frame_batch", "intra_time", "intra_frequency"])
def test_the_loss_is_its_slow_version_along_every_axis(axis: Axis) -> None:
    student_feature, teacher_feature = precise(3, 2, 7, 5, seed=1), precise(3, 4, 7, 5, seed=2)
    terms = []
    for student, teacher in zip(
        slow_rows(student_feature.numpy(), axis), slow_rows(teacher_feature.numpy(), axis), strict=True
    ):
        difference = slow_similarity(teacher) - slow_similarity(student)
        terms.append(np.sum(difference**2) / len(student) ** 2)
    assert similarity_distance(student_feature, teacher_feature, axis).item() == pytest.approx(np.mean(terms), rel=1e-9)


def test_similarity_by_hand() -> None:
    # X X^T = ((25, 15), (15, 25)); each row has the length sqrt(25^2 + 15^2).
    length = math.hypot(25, 15)
    found = similarity(torch.tensor([[3.0, 4.0], [5.0, 0.0]]))
    assert found.flatten().tolist() == pytest.approx([25 / length, 15 / length, 15 / length, 25 / length])


@pytest.mark.parametrize("axis", ["batch", "frame_batch", "intra_time", "intra_frequency"])
def test_channels_may_be_rotated_and_scaled(axis: Axis) -> None:
    feature = precise(3, 4, 6, 5)
    rotation = torch.linalg.qr(precise(4, 4, seed=9)).Q
    rotated = 100 * torch.einsum("dc,bcnf->bdnf", rotation, feature)
    assert similarity_distance(rotated, feature, axis) < 1e-20
    assert similarity_distance(feature[:, :2], feature, axis) > 1e-4


@pytest.mark.parametrize("axis", ["batch", "frame_batch", "intra_time"])
def test_any_two_features_have_comparable_rows(axis: Axis) -> None:
    shapes = ((3, 2, 7), (3, 5, 9), (3, 4, 6, 3), (3, 2, 12, 5))
    for one, other in itertools.product(shapes, shapes):
        assert similarity_distance(precise(*one, seed=1), precise(*other, seed=2), axis) > 0


def test_time_within_an_item_is_averaged_down() -> None:
    feature = precise(2, 3, 40, seed=4)
    averaged = feature.unflatten(-1, (10, 4)).mean(dim=-1)
    assert torch.allclose(rows(feature, "intra_time", 10), averaged.transpose(1, 2))
    longer = feature.repeat_interleave(2, dim=-1)
    assert similarity_distance(longer, feature, "intra_time", frames=10) < 1e-20
    assert similarity_distance(longer, feature, "intra_time") < 1e-20


def test_a_long_signal_makes_no_long_matrix() -> None:
    feature = torch.randn(1, 2, 16000, requires_grad=True)
    loss = (
        similarity_distance(feature, torch.randn(1, 3, 20000), "intra_time")
        + distances(rows(feature, "intra_time", 32)).mean()
    )
    loss.backward()
    assert feature.grad is not None
    assert torch.isfinite(feature.grad).all()


def test_frequencies_are_brought_to_the_lower_count() -> None:
    feature = precise(2, 3, 7, 5, seed=5)
    assert similarity_distance(feature.repeat_interleave(3, dim=3), feature, "intra_frequency") < 1e-20
    assert similarity_distance(feature, feature.repeat_interleave(3, dim=3), "intra_frequency") < 1e-20


def test_over_the_batch_the_loss_is_bound_to_it_and_within_items_it_is_not() -> None:
    student_feature, teacher_feature = precise(4, 2, 6, 5, seed=1), precise(4, 3, 6, 5, seed=2)
    within: tuple[Axis, ...] = ("intra_time", "intra_frequency")
    for axis in within:
        single = [similarity_distance(student_feature[i : i + 1], teacher_feature[i : i + 1], axis) for i in range(4)]
        assert similarity_distance(student_feature, teacher_feature, axis).item() == pytest.approx(
            torch.stack(single).mean().item()
        )
    assert similarity_distance(student_feature[:1], teacher_feature[:1], "batch") == 0
    assert similarity_distance(student_feature[:2], teacher_feature[:2], "batch") != similarity_distance(
        student_feature[:3], teacher_feature[:3], "batch"
    )


# Which layers, which axes


def test_axes_and_layers_are_summed() -> None:
    student, teacher = precise_view("spectra", 1), precise_view("wider spectra", 10)
    axes: tuple[Axis, ...] = ("batch", "intra_frequency")
    method = ready(Similarity(axes), student, teacher)
    by_hand = [similarity_distance(student.feats[tap], teacher.feats[tap], axis) for tap in TAPS for axis in axes]
    assert method(student, teacher, unlabelled()).item() == pytest.approx(torch.stack(by_hand).sum().item())
    only = ready(Similarity(side="decoder"), student, teacher)
    assert only.student_taps == only.teacher_taps == ("decoder.1",)


def test_frequencies_are_passed_over_where_a_network_has_none() -> None:
    student, teacher = precise_view("waves", 1), precise_view("spectra", 10)
    both, time = ready(TwoStep(), student, teacher), ready(Similarity(("intra_time",)), student, teacher)
    assert both(student, teacher, unlabelled()) == time(student, teacher, unlabelled())
    with pytest.raises(InputError, match="no layers with frequencies"):
        Similarity(("intra_frequency",)).connect(FLAT, TAPS)


def test_deeper_layers_of_the_teacher_can_teach_too() -> None:
    deeper = {**TAPS, "encoder.3": anywhere("d", "BCNF")}
    method = Similarity(dual_depth=True)
    method.connect(TAPS, deeper)
    assert ("encoder.2", "encoder.3") in method.pairs
    single = Similarity()
    single.connect(TAPS, deeper)
    assert all(student_feature == teacher_feature for student_feature, teacher_feature in single.pairs)
    with pytest.raises(InputError, match="share no encoder"):
        Similarity(side="encoder").connect({"decoder.1": anywhere("c")}, TAPS)


# What holds for all of them


@pytest.mark.parametrize("name", ["similarity", "two_step", "rkd", "pkt"])
def test_autocast_does_not_coarsen_it(name: str) -> None:
    student, teacher = (
        View(one.wave.float(), {t: f.float() for t, f in one.feats.items()})
        for one in (precise_view("spectra", 1), precise_view("spectra", 20))
    )
    method = ready(METHODS[name](), student, teacher).float()
    plain = method(student, teacher, unlabelled())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = method(student, teacher, unlabelled())
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(plain.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("method", "least"),
    [(Similarity(), 2), (CrossLayerSimilarity(), 2), (Relational("items"), 3), (Probabilistic("items"), 2)],
)
def test_a_batch_with_nothing_to_compare_is_refused(method: Method, least: int) -> None:
    views = precise_view("waves", 1, least - 1), precise_view("waves", 20, least - 1)
    with pytest.raises(InputError, match=rf"has {least - 1}; expected at least {least}; raise train.batch_size"):
        ready(method, *views)
    assert ready(TwoStep(), precise_view("waves", 1, 1), precise_view("waves", 20, 1)).pairs


def test_wrong_arguments_are_refused() -> None:
    for wrong, words in (
        (lambda: Similarity(()), "axes are some of"),
        (lambda: Similarity(("time",)), "axes are some of"),  # pyright: ignore[reportArgumentType]
        (lambda: Similarity(side="middle"), "side is both"),  # pyright: ignore[reportArgumentType]
        (lambda: TwoStep(frames=1), "at least 2 frames"),
        (lambda: CrossLayerSimilarity(width=0), "width is at least 1"),
        (lambda: Relational("layers"), "among frames or items"),  # pyright: ignore[reportArgumentType]
        (lambda: Relational(frames=2), "a triangle needs 3"),
        (lambda: Relational(distance_weight=0, angle_weight=0), "weights are 0 or more"),
        (lambda: Probabilistic("layers"), "are frames or items"),  # pyright: ignore[reportArgumentType]
        (lambda: Probabilistic(frames=1), "at least 2 frames"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()
