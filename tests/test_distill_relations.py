"""CLSKD, RKD and PKT: equations against slow versions, and what each leaves free."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from helpers.noise import precise
from helpers.taps import anywhere
from helpers.views import TAPS, precise_view, ready, unlabelled
from sordino.distill.methods.clskd import CrossLayerSimilarity
from sordino.distill.methods.pkt import divergence, neighbours
from sordino.distill.methods.rkd import Relational, angles, distances
from sordino.distill.methods.similarity import similarity_distance
from sordino.types import View

# CLSKD


def test_clskd_compares_the_fused_layers_frame_by_frame() -> None:
    student, teacher = precise_view("spectra", 1), precise_view("wider spectra", 20)
    method = ready(CrossLayerSimilarity(), student, teacher).eval()
    assert isinstance(method, CrossLayerSimilarity)
    assert method.fusion is not None
    outputs, _ = method.fusion([student.feats[tap] for tap in ("encoder.1", "encoder.2", "decoder.1")])
    by_hand = [
        similarity_distance(output, teacher.feats[tap], "frame_batch")
        for output, tap in zip(outputs, TAPS, strict=True)
    ]
    assert method(student, teacher, unlabelled()).item() == pytest.approx(torch.stack(by_hand).sum().item())


def test_clskd_fuses_along_frequency_alone() -> None:
    student, teacher = precise_view("spectra", 1), precise_view("spectra", 20)
    method = ready(CrossLayerSimilarity(side="encoder"), student, teacher).eval()
    assert isinstance(method, CrossLayerSimilarity)
    assert method.fusion is not None
    features = [student.feats[tap] for tap in ("encoder.1", "encoder.2")]
    before, _ = method.fusion(features)
    features[1][:, :, 4] += 1
    after, _ = method.fusion(features)
    for one, other in zip(before, after, strict=True):
        assert (one - other).abs().amax(dim=(0, 1, 3)).nonzero().flatten().tolist() == [4]


def test_clskd_tells_how_far_its_gates_are_open() -> None:
    student, teacher = precise_view("spectra", 1), precise_view("spectra", 20)
    method = ready(CrossLayerSimilarity(width=5), student, teacher)
    assert not method.figures()
    method(student, teacher, unlabelled()).backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert method.rows == ["encoder.1", "encoder.2"]
    gates = method.figures()["gates"]
    assert gates.shape == (len(method.rows), len(method.columns))
    assert ((gates > 0) & (gates < 1)).all()


# RKD


def test_distances_and_angles_are_their_slow_versions() -> None:
    points = precise(6, 4, seed=1)
    pairwise = np.array([[np.linalg.norm((a - b).numpy()) for b in points] for a in points])
    expected = pairwise / (pairwise.sum() / 30)
    found = distances(points)
    assert found.flatten().tolist() == pytest.approx(expected.ravel().tolist())
    corners = angles(found)
    for i, j, k in itertools.product(range(6), repeat=3):
        cosine = 0.0
        if j not in (i, k):
            first, second = (points[i] - points[j]).numpy(), (points[k] - points[j]).numpy()
            cosine = np.dot(first, second) / (np.linalg.norm(first) * np.linalg.norm(second))
        assert corners[i, j, k].item() == pytest.approx(cosine, abs=1e-12)


def test_relational_loss_by_hand() -> None:
    # One item of three frames: a right angle with sides 3 and 4, and three points on a line at equal steps.
    student = torch.tensor([[[0.0, 3.0, 0.0], [0.0, 0.0, 4.0]]], dtype=torch.float64)
    teacher = torch.tensor([[[0.0, 1.0, 2.0]]], dtype=torch.float64)
    views = [View(precise(1, 4), {"encoder.1": feature}) for feature in (student, teacher)]
    taps = {"encoder.1": anywhere("a")}

    def huber(one: float, other: float) -> float:
        gap = abs(one - other)
        return gap**2 / 2 if gap < 1 else gap - 0.5

    student_feature, teacher_feature = (
        {(0, 1): 3 / 4, (0, 2): 4 / 4, (1, 2): 5 / 4},
        {(0, 1): 3 / 4, (0, 2): 6 / 4, (1, 2): 3 / 4},
    )
    of_distances = 2 * sum(huber(student_feature[pair], teacher_feature[pair]) for pair in student_feature) / 9
    # cosines at points 0, 1 and 2, each for two orders of the other two; i = k gives 1 for both.
    of_angles = 2 * (huber(0, 1) + huber(3 / 5, -1) + huber(4 / 5, 1)) / 27
    for weights, expected in (
        ((1.0, 0.0), of_distances),
        ((0.0, 1.0), of_angles),
        ((1.0, 2.0), of_distances + 2 * of_angles),
    ):
        method = Relational("frames", *weights)
        method.connect(taps, taps)
        assert method(*views, unlabelled(1)).item() == pytest.approx(expected)


@pytest.mark.parametrize("among", ["frames", "items"])
def test_embeddings_may_be_moved_rotated_and_scaled(among: str) -> None:
    student = precise_view("waves", 1, items=4)
    rotation = torch.linalg.qr(precise(4, 4, seed=9)).Q
    feature = student.feats["encoder.2"]
    moved = 7 * torch.einsum("dc,bcn->bdn", rotation, feature) + precise(1, 4, 1, seed=8)
    taps = {"encoder.2": anywhere("b")}
    method = Relational("frames" if among == "frames" else "items")
    method.connect({**taps, "encoder.1": anywhere("a")}, taps)
    teacher = View(student.wave, {"encoder.2": moved})
    assert method(student, teacher, unlabelled(4)) < 1e-20
    assert method(student, precise_view("waves", 30, items=4), unlabelled(4)) > 1e-4


def test_frames_that_repeat_have_a_bounded_gradient() -> None:
    feature = precise(1, 3, 8, seed=2).float()
    feature[:, :, 4:] = feature[:, :, 4:5] + 1e-7 * feature[:, :, 4:]
    feature.requires_grad_()
    found = angles(distances(feature.transpose(1, 2)))
    found.square().sum().backward()
    assert feature.grad is not None
    assert feature.grad.abs().max() < 1e4


# PKT


def test_neighbours_are_their_slow_version() -> None:
    points = precise(5, 3, seed=1)
    kernel = np.array(
        [
            [(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)) + 1) / 2 for b in points.numpy()]
            for a in points.numpy()
        ]
    )
    expected = np.array([row / row.sum() for row in kernel])
    found = neighbours(points)
    assert found.flatten().tolist() == pytest.approx(expected.ravel().tolist(), abs=1e-9)
    other = neighbours(precise(5, 2, seed=2))
    slow = np.mean(
        [
            sum(p * math.log(p / q) for p, q in zip(*rows, strict=True))
            for rows in zip(expected, other.numpy(), strict=True)
        ]
    )
    assert divergence(other, found).item() == pytest.approx(slow, rel=1e-6)
    assert divergence(found, found) == 0


def test_each_row_may_be_scaled() -> None:
    points = precise(5, 3, seed=1)
    scaled = points * torch.tensor([1.0, 2.0, 0.5, 10.0, 3.0]).unsqueeze(1)
    assert torch.allclose(neighbours(scaled), neighbours(points), atol=1e-9)
    assert neighbours(torch.zeros(4, 3)).flatten().tolist() == pytest.approx([0.25] * 16)
