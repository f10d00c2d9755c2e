"""Knowledge review: fusion of layers and the context loss against slow versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.encoders import (
    batch,
    every_shape,
    layers,
    made,
    networks,
    slow_norm,
    slow_resize,
    taps,
    value,
    views,
)
from helpers.noise import precise
from sordino.distill.layers.fusion import Fusion
from sordino.distill.methods.reviewkd import KnowledgeReview, context_distance

# ReviewKD


@pytest.mark.parametrize("shape", [(3, 12, 10), (3, 12, 1), (3, 3, 2), (3, 1, 6), (3, 4, 4)])
def test_context_distance_is_its_slow_version(shape: tuple[int, int, int]) -> None:
    student_feature, teacher_feature = precise(2, *shape, seed=1, level=0.5), precise(2, *shape, seed=2, level=0.5)
    total, weights, weight = np.mean((student_feature.numpy() - teacher_feature.numpy()) ** 2), 1.0, 1.0
    for level in (4, 2, 1):
        if level >= shape[1]:
            continue
        weight, size = weight / 2, (level, min(level, shape[2]))
        coarse = [
            np.array([[slow_resize(channel, *size) for channel in item] for item in one.numpy()])
            for one in (student_feature, teacher_feature)
        ]
        total, weights = total + weight * np.mean((coarse[0] - coarse[1]) ** 2), weights + weight
    assert context_distance(student_feature, teacher_feature).item() == pytest.approx(total / weights, abs=1e-12)
    assert context_distance(student_feature, student_feature) == 0
    assert context_distance(student_feature, student_feature + 1).item() == pytest.approx(1)


def slow_convolution(feature: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """[B,C,N,F] with [D,C,k,l], zeros around: [B,D,N,F]."""
    (_, _, frames, bins), (_, _, high, wide) = feature.shape, kernel.shape
    around = np.pad(feature, ((0, 0), (0, 0), (high // 2,) * 2, (wide // 2,) * 2))
    total = np.zeros((len(feature), len(kernel), frames, bins))
    for i in range(high):
        for j in range(wide):
            total += np.einsum("dc,bcnf->bdnf", kernel[:, :, i, j], around[:, :, i : i + frames, j : j + bins])
    return total


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (3, 1)])
def test_fusion_is_its_slow_version(kernel: tuple[int, int]) -> None:
    features, sizes = (
        [precise(2, 3, 8, 5, level=0.5), precise(2, 4, 4, 3, seed=1, level=0.5)],
        [(9, 4), (5, 3)],
    )
    torch.manual_seed(0)
    fusion = Fusion([3, 4], [6, 7], 5, kernel).double()
    outputs, gates = fusion(features, sizes)
    passed: list[np.ndarray] = []
    for i in (1, 0):
        narrow = slow_norm(
            slow_convolution(features[i].numpy(), value(fusion, f"stages.{i}.narrow.0.weight")), (0, 2, 3)
        )
        if passed:
            later = np.array([[slow_resize(channel, 8, 5) for channel in item] for item in passed[-1]])
            logits = slow_convolution(np.concatenate([narrow, later], axis=1), value(fusion, f"stages.{i}.gate.weight"))
            open_by = 1 / (1 + np.exp(-logits - value(fusion, f"stages.{i}.gate.bias")[:, None, None]))
            narrow = open_by[:, :1] * narrow + open_by[:, 1:] * later
            assert gates.tolist() == [pytest.approx(open_by.mean(axis=(0, 2, 3)).tolist())]
        passed.append(np.array([[slow_resize(channel, *sizes[i]) for channel in item] for item in narrow]))
        expected = slow_norm(slow_convolution(passed[-1], value(fusion, f"stages.{i}.widen.0.weight")), (0, 2, 3))
        assert np.allclose(outputs[i].detach().numpy(), expected, atol=1e-10)


def test_knowledge_flows_from_later_layers_to_earlier_ones_only() -> None:
    features = [one.requires_grad_() for one in layers([(3, 16), (4, 8), (5, 4)], 1)]
    fusion = Fusion([3, 4, 5], [3, 4, 5], 6, (3, 1)).double()
    outputs, gates = fusion(features)
    assert [one.shape for one in outputs] == [(3, 3, 16, 1), (3, 4, 8, 1), (3, 5, 4, 1)]
    assert gates.shape == (2, 2)
    assert not gates.requires_grad
    for i, output in enumerate(outputs):
        reached = torch.autograd.grad(output.square().sum(), features, retain_graph=True, allow_unused=True)
        assert [grad is not None for grad in reached] == [j >= i for j in range(3)]


def test_fusion_of_one_layer_has_no_gate() -> None:
    outputs, gates = Fusion([3], [4], 5).double()([precise(2, 3, 8, level=0.5)], [(6, 1)])
    assert outputs[0].shape == (2, 4, 6, 1)
    assert gates.shape == (0, 2)


@every_shape
def test_reviewkd_is_the_sum_over_its_pairs(shapes: str) -> None:
    student, teacher = networks(shapes)
    method = made(KnowledgeReview(frames=20), student, teacher)
    assert isinstance(method, KnowledgeReview)
    assert [teacher_feature for _, teacher_feature in method.pairs] == ["encoder.1", "encoder.2", "encoder.3"]
    shown = views(student, teacher)
    student_feature, teacher_feature = zip(*method.features(*shown), strict=True)
    assert max(one.shape[2] for one in (*student_feature, *teacher_feature)) == min(
        20, max(one.shape[2] for one in (*student, *teacher))
    )
    fused, gates = method.fusion(student_feature, [(one.shape[2], one.shape[3]) for one in teacher_feature])
    by_hand = sum(context_distance(one, target).item() for one, target in zip(fused, teacher_feature, strict=True))
    assert method(*shown, batch()).item() == pytest.approx(by_hand, abs=1e-10)
    assert torch.equal(method.figures()["gates"], gates)
    assert method.rows == ["encoder.1 for encoder.1", "encoder.2 for encoder.2"]
    assert method.columns == ["own", "later"]


def test_review_follows_the_signal_and_the_depths() -> None:
    method = KnowledgeReview("both")
    method.connect(taps(2), taps(3))
    assert [f"{student_feature} {teacher_feature}" for student_feature, teacher_feature in method.pairs] == [
        *("encoder.1 encoder.1", "encoder.2 encoder.2", "encoder.2 encoder.3"),
        *("decoder.2 decoder.3", "decoder.2 decoder.2", "decoder.1 decoder.1"),
    ]
    method = KnowledgeReview("decoder", dual_depth=False)
    method.connect(taps(3), taps(2))
    assert method.pairs == [("decoder.2", "decoder.2"), ("decoder.1", "decoder.1")]


def test_what_is_passed_on_is_as_wide_as_the_widest_layer_or_as_asked() -> None:
    for width, expected in ((512, 6), (5, 5)):
        method = made(KnowledgeReview(width=width), *networks("waveform"))
        assert method.get_parameter("fusion.stages.0.narrow.0.weight").shape == (expected, 4, 1, 1)
