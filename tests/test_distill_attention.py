"""Attention over layers and knowledge review: each equation against a slow version, and what the papers claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sotto.distill import METHODS, Method
from sotto.distill.abc import AttentionCompression, Compression, compressed_distance
from sotto.distill.afd import AttentionFeatureDistillation, FeatureMatching, map_distances
from sotto.distill.alp import AttentionLayerProjection, LayerProjection, fuse
from sotto.distill.features import alike, resize_planes
from sotto.distill.fusion import Fusion
from sotto.distill.layer_attention import LayerAttention, Summaries, meet, shorten
from sotto.distill.reviewkd import KnowledgeReview, context_distance
from sotto.distill.semckd import SemanticCalibration, SemanticCalibrationDistillation
from sotto.errors import InputError
from sotto.types import Batch, Tap, View

FAMILY = ("abc", "afd", "semckd", "alp")
NAMES = (*FAMILY, "reviewkd")
SHAPES = {
    "waveform": ([(4, 24), (6, 12)], [(5, 40), (8, 20), (10, 9)]),
    "spectrum": ([(4, 12, 10), (6, 12, 5)], [(5, 9, 16), (8, 9, 8), (10, 9, 4)]),
    "waveform of spectrum": ([(4, 24), (6, 12)], [(5, 9, 16), (8, 9, 8), (10, 9, 4)]),
    "spectrum of waveform": ([(4, 12, 10), (6, 12, 5)], [(5, 40), (8, 20), (10, 9)]),
}
"""Shapes of a student's and a teacher's encoder, layer by layer."""
every_shape = pytest.mark.parametrize("shapes", SHAPES)
every_name = pytest.mark.parametrize("name", NAMES)


def noise(*shape: int, seed: int = 0, scale: float = 0.5) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layers(shapes: Sequence[tuple[int, ...]], seed: int, items: int = 3) -> list[Tensor]:
    return [noise(items, *shape, seed=seed + i) for i, shape in enumerate(shapes)]


def networks(shapes: str, items: int = 3) -> tuple[list[Tensor], list[Tensor]]:
    ours, theirs = SHAPES[shapes]
    return layers(ours, 10, items), layers(theirs, 20, items)


def taps(depth: int) -> dict[str, Tap]:
    return {f"{side}.{layer}": Tap("") for side in ("encoder", "decoder") for layer in range(1, depth + 1)}


def views(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> tuple[View, View]:
    ours, theirs = ({f"encoder.{i}": one for i, one in enumerate(side, 1)} for side in (student, teacher))
    wave = student[0].new_zeros(len(student[0]), 100)
    return View(wave, ours), View(wave, theirs)


def batch(items: int = 3) -> Batch:
    return Batch(torch.zeros(items, 100), None, torch.full((items,), 100))


def made(method: Method, student: Sequence[Tensor], teacher: Sequence[Tensor], seed: int = 0) -> Method:
    """Connected to two encoders and prepared for their features, in double precision."""
    method.connect(taps(len(student)), taps(len(teacher)))
    torch.manual_seed(seed)
    method.prepare(*views(student, teacher))
    return method.double()


def encoder(name: str, **arguments: Any) -> Method:
    return METHODS[name](**{"side": "encoder", **arguments})


# Slow versions


def slow_axis(values: np.ndarray, length: int) -> np.ndarray:
    """Averages of [N] over ``length`` stretches, or linear interpolation to more."""
    size = len(values)
    if length <= size:
        bounds = [(i * size // length, -(-(i + 1) * size // length)) for i in range(length)]
        return np.array([values[first:last].mean() for first, last in bounds])
    places = np.clip((np.arange(length) + 0.5) * size / length - 0.5, 0, size - 1)
    return np.interp(places, np.arange(size), values)


def slow_resize(surface: np.ndarray, frames: int, bins: int) -> np.ndarray:
    """[N,F] -> [frames,bins]."""
    long = np.stack([slow_axis(column, frames) for column in surface.T], axis=1)
    return np.stack([slow_axis(row, bins) for row in long])


def slow_energy(feature: np.ndarray) -> np.ndarray:
    """[C,N] or [C,N,F] -> [N,F]."""
    total = sum(channel**2 for channel in feature) / len(feature)
    return np.asarray(total).reshape(feature.shape[1], -1)


def unit(values: np.ndarray) -> np.ndarray:
    return values.ravel() / np.sqrt(np.sum(values**2))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def value(module: nn.Module, name: str) -> np.ndarray:
    return module.state_dict()[name].numpy()


def slow_norm(rows: np.ndarray, axes: tuple[int, ...] = (0,)) -> np.ndarray:
    """Batch norm in training, with its initial weight and bias."""
    return (rows - rows.mean(axes, keepdims=True)) / np.sqrt(rows.var(axes, keepdims=True) + 1e-5)


def slow_summaries(module: Summaries, features: Sequence[Tensor]) -> np.ndarray:
    """[B,L,d]."""
    maps = []
    for i, feature in enumerate(features):
        means = np.array([[channel.mean() for channel in item] for item in feature.numpy()])
        maps.append(slow_norm(means @ value(module, f"layers.{i}.0.weight").T + value(module, f"layers.{i}.0.bias")))
    return np.stack(maps, axis=1)


def slow_planes(feature: Tensor) -> np.ndarray:
    array = feature.numpy()
    return array[..., None] if array.ndim == 3 else array


@pytest.mark.parametrize(("frames", "bins"), [(3, 2), (12, 10), (20, 4), (5, 17), (1, 1)])
def test_planes_are_resized_along_both_axes(frames: int, bins: int) -> None:
    feature = noise(2, 3, 12, 10)
    expected = [[slow_resize(channel, frames, bins) for channel in item] for item in feature.numpy()]
    assert np.allclose(resize_planes(feature, frames, bins).numpy(), expected, atol=1e-12)


def test_frequencies_become_channels_where_a_layer_has_none() -> None:
    both = [noise(2, 3, 7, 4), noise(2, 5, 9, 6)]
    assert alike(both) == both
    assert [one.shape for one in alike([*both, noise(2, 4, 11)])] == [(2, 12, 7), (2, 30, 9), (2, 4, 11)]
    ours, theirs = meet(*both)
    assert (ours.shape, theirs.shape) == ((2, 3, 7, 4), (2, 5, 7, 4))
    assert [one.shape for one in shorten([*both, noise(2, 4, 11)], 8, 5)] == [(2, 3, 7, 4), (2, 5, 8, 5), (2, 4, 8)]
    ours, theirs = meet(both[0], noise(2, 4, 11))
    assert (ours.shape, theirs.shape) == ((2, 12, 7, 1), (2, 4, 7, 1))


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
    for s, ours in enumerate(student):
        for b in range(3):
            own = slow_energy(ours[b].numpy())
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
    for s, ours in enumerate(student):
        for t, theirs in enumerate(teacher):
            matrix = value(scheme, f"projections.{s * len(teacher) + t}.weight")[:, :, 0, 0]
            bias = value(scheme, f"projections.{s * len(teacher) + t}.bias")
            one, other = (grid.numpy() for grid in meet(ours, theirs))
            for b in range(3):
                projected = np.einsum("dc,cnf->dnf", matrix, one[b]) + bias[:, None, None]
                total += weights[b, s, t] * np.sum((unit(projected) - unit(other[b])) ** 2)
    expected = total / (3 * len(student))
    assert method(*views(student, teacher), batch()).item() == pytest.approx(expected, abs=1e-10)


def test_a_layer_s_loudness_does_not_outweigh_attention() -> None:
    feature, teacher = noise(2, 4, 12, seed=1), layers([(5, 20), (3, 30)], 2, items=2)
    attention = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)
    louder = [teacher[0], -50 * teacher[1][:, torch.tensor([2, 0, 1])]]
    for normalise in (True, False):
        before, after = (compressed_distance(feature, layers, attention, normalise) for layers in (teacher, louder))
        assert torch.allclose(before, after) == normalise


def test_a_student_layer_that_equals_the_compression_costs_nothing() -> None:
    feature = noise(2, 4, 12, seed=1)
    teacher = [noise(2, 5, 20), -3 * feature[:, torch.randperm(4)]]
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
    for t, theirs in enumerate(teacher):
        for b in range(3):
            goal = slow_energy(theirs[b].numpy())
            widest = max(slow_planes(one).shape[3] for one in student)
            size = len(goal), 1 if flat else min(goal.shape[1], widest)
            for s, ours in enumerate(student):
                own = unit(slow_resize(slow_energy(ours[b].numpy()), *size))
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
    for s, ours in enumerate(student):
        for t, theirs in enumerate(teacher):
            one, other = meet(*shorten([ours, theirs], 7, 3))
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
    every = [slow_planes(one) for one in alike(shorten([*student, *teacher], 7, 3))]
    ours, theirs = every[:2], every[2:]
    total, weights = 0.0, np.zeros((3, 2, 3))
    for s, feature in enumerate(ours):
        size = min(feature.shape[2], 7), min(feature.shape[3], 3)
        matrix, bias = value(scheme, f"maps.{s}.weight")[:, :, 0, 0], value(scheme, f"maps.{s}.bias")
        for b in range(3):
            small = np.stack([slow_resize(channel, *size) for channel in feature[b]])
            own = np.einsum("dc,cnf->dnf", matrix, small) + bias[:, None, None]
            states = []
            for one in theirs:
                small = np.stack([slow_resize(channel, *size) for channel in one[b]])
                states.append(np.einsum("dc,cnf->dnf", value(scheme, f"fixed_{one.shape[1]}"), small))
            products = [np.mean(np.sum(own * state, axis=0)) for state in states]
            weights[b, s] = softmax(np.array(products) / np.sqrt(8))
            fused = sum(weight * state for weight, state in zip(weights[b, s], states, strict=True))
            total += np.mean((own - fused) ** 2) / (3 * 2)
    assert method(*views(student, teacher), batch()).item() == pytest.approx(total, abs=1e-10)
    assert np.allclose(method.figures()["attention"].numpy(), weights.mean(axis=0), atol=1e-10)


def test_fusing_one_layer_is_that_layer() -> None:
    fused, attention = fuse(noise(2, 4, 5, 3), (target := noise(2, 1, 4, 5, 3, seed=1)))
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
    student, teacher = [noise(3, 4, 12)], [noise(3, 32, 12, seed=1), noise(3, 32, 12, seed=1)]
    scheme = made(encoder("alp", dim=512), student, teacher).get_submodule("weighing")
    matrix = scheme.get_buffer("fixed_32")
    assert [name for name, _ in scheme.named_buffers()] == ["fixed_32"]
    assert torch.allclose(matrix.T @ matrix, torch.eye(32).double(), atol=0.25)


# ReviewKD


@pytest.mark.parametrize("shape", [(3, 12, 10), (3, 12, 1), (3, 3, 2), (3, 1, 6), (3, 4, 4)])
def test_context_distance_is_its_slow_version(shape: tuple[int, int, int]) -> None:
    ours, theirs = noise(2, *shape, seed=1), noise(2, *shape, seed=2)
    total, weights, weight = np.mean((ours.numpy() - theirs.numpy()) ** 2), 1.0, 1.0
    for level in (4, 2, 1):
        if level >= shape[1]:
            continue
        weight, size = weight / 2, (level, min(level, shape[2]))
        coarse = [
            np.array([[slow_resize(channel, *size) for channel in item] for item in one.numpy()])
            for one in (ours, theirs)
        ]
        total, weights = total + weight * np.mean((coarse[0] - coarse[1]) ** 2), weights + weight
    assert context_distance(ours, theirs).item() == pytest.approx(total / weights, abs=1e-12)
    assert context_distance(ours, ours) == 0
    assert context_distance(ours, ours + 1).item() == pytest.approx(1)


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
    features, sizes = [noise(2, 3, 8, 5), noise(2, 4, 4, 3, seed=1)], [(9, 4), (5, 3)]
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
    outputs, gates = Fusion([3], [4], 5).double()([noise(2, 3, 8)], [(6, 1)])
    assert outputs[0].shape == (2, 4, 6, 1)
    assert gates.shape == (0, 2)


@every_shape
def test_reviewkd_is_the_sum_over_its_pairs(shapes: str) -> None:
    student, teacher = networks(shapes)
    method = made(KnowledgeReview(frames=20), student, teacher)
    assert isinstance(method, KnowledgeReview)
    assert [theirs for _, theirs in method.pairs] == ["encoder.1", "encoder.2", "encoder.3"]
    shown = views(student, teacher)
    ours, theirs = zip(*method.features(*shown), strict=True)
    assert max(one.shape[2] for one in (*ours, *theirs)) == min(20, max(one.shape[2] for one in (*student, *teacher)))
    fused, gates = method.fusion(ours, [(one.shape[2], one.shape[3]) for one in theirs])
    by_hand = sum(context_distance(one, target).item() for one, target in zip(fused, theirs, strict=True))
    assert method(*shown, batch()).item() == pytest.approx(by_hand, abs=1e-10)
    assert torch.equal(method.figures()["gates"], gates)
    assert method.rows == ["encoder.1 for encoder.1", "encoder.2 for encoder.2"]
    assert method.columns == ["own", "later"]


def test_review_follows_the_signal_and_the_depths() -> None:
    method = KnowledgeReview("both")
    method.connect(taps(2), taps(3))
    assert [f"{ours} {theirs}" for ours, theirs in method.pairs] == [
        *("encoder.1 encoder.1", "encoder.2 encoder.2", "encoder.2 encoder.3"),
        *("decoder.2 decoder.3", "decoder.2 decoder.2", "decoder.1 decoder.1"),
    ]
    method = KnowledgeReview("decoder", dual_depth=False)
    method.connect(taps(3), taps(2))
    assert method.pairs == [("decoder.2", "decoder.2"), ("decoder.1", "decoder.1")]


def test_what_is_passed_on_is_as_wide_as_the_widest_layer_or_as_told() -> None:
    for width, expected in ((512, 6), (5, 5)):
        method = made(KnowledgeReview(width=width), *networks("waveform"))
        assert method.get_parameter("fusion.stages.0.narrow.0.weight").shape == (expected, 4, 1, 1)


# All of them


@every_name
@every_shape
def test_learnt_parts_learn_and_belong_to_the_method(name: str, shapes: str) -> None:
    student, teacher = networks(shapes)
    student = [one.requires_grad_() for one in student]
    method = made(encoder(name), student, teacher)
    loss = method(*views(student, teacher), batch())
    assert loss.shape == ()
    assert loss > 0
    loss.backward()
    assert all(one.grad is not None and one.grad.abs().max() > 0 for one in student)
    assert dict(method.named_parameters())
    for learnt, parameter in method.named_parameters():
        assert parameter.grad is not None, learnt
        assert torch.isfinite(parameter.grad).all(), learnt
    assert not any(figure.requires_grad for figure in method.figures().values())


@every_name
@every_shape
@pytest.mark.parametrize("silent", ["student", "teacher", "both"])
def test_silence_is_no_trap(name: str, shapes: str, silent: str) -> None:
    student, teacher = networks(shapes)
    student = [0 * one if silent != "teacher" else one for one in student]
    teacher = [0 * one if silent != "student" else one for one in teacher]
    student = [one.float().requires_grad_() for one in student]
    method = made(encoder(name), student, teacher).float()
    loss = method(*views(student, [one.float() for one in teacher]), batch())
    loss.backward()
    grads = [tensor.grad for tensor in (*student, *method.parameters())]
    assert torch.isfinite(loss)
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)


@every_name
def test_mixed_precision_changes_nothing(name: str) -> None:
    student, teacher = ([one.float() for one in side] for side in networks("spectrum"))
    method = made(encoder(name), student, teacher).float()
    shown = views(student, teacher)
    plain = method(*shown, batch())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = method(*shown, batch())
    assert mixed.dtype == torch.float32
    assert torch.equal(plain, mixed)


@pytest.mark.parametrize("name", FAMILY)
def test_every_row_of_the_logged_attention_shares_out_one(name: str) -> None:
    student, teacher = networks("spectrum")
    method = made(encoder(name), student, teacher)
    assert not method.figures()
    method(*views(student, teacher), batch())
    table = method.figures()["attention"]
    assert table.shape == (len(method.rows), len(method.columns))
    assert table.sum(dim=1).tolist() == pytest.approx([1] * len(method.rows))
    assert len(set(table.flatten().tolist())) == table.numel()


class Largest(TorchDispatchMode):
    """Remembers how many values the largest tensor has that is made inside."""

    values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.values = max(self.values, *(leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, Tensor)), 0)
        return made


@every_name
def test_long_features_ask_for_no_more_memory_than_they_have_themselves(name: str) -> None:
    """Layer 1 of a network on four seconds of waveform: a table of all pairs of frames would have 64 million values."""
    student, teacher = layers([(4, 16000), (6, 4000)], 1, 2), layers([(8, 16000), (12, 4000), (16, 1000)], 5, 2)
    student = [one.requires_grad_() for one in student]
    method = made(encoder(name), student, teacher)
    with Largest() as largest:
        method(*views(student, teacher), batch(2)).backward()
    assert 1000 < largest.values <= 2 * max(one.numel() for one in teacher)


@pytest.mark.parametrize("name", ["abc", "afd"])
def test_a_batch_of_one_cannot_be_normalised(name: str) -> None:
    student, teacher = networks("waveform", items=1)
    method = made(encoder(name), student, teacher)
    with pytest.raises(InputError, match=r"train.batch_size: one item.*expected 2 or more"):
        method(*views(student, teacher), batch(1))
    assert torch.isfinite(method.eval()(*views(student, teacher), batch(1)))


@every_name
def test_networks_without_layers_are_refused(name: str) -> None:
    message = "share no encoder" if name == "reviewkd" else "has no encoder to attend to"
    for student, teacher in ((taps(2), {}), ({}, taps(2)), (taps(2), {"decoder.1": Tap("")})):
        with pytest.raises(InputError, match=message):
            encoder(name).connect(student, teacher)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        *((name, {"side": "middle"}) for name in NAMES),
        *((name, {"dim": 0}) for name in FAMILY),
        *((name, {"frames": 0}) for name in ("semckd", "alp", "reviewkd")),
        *(("abc", wrong) for wrong in ({"attention": "rkd"}, {"values": "maps"})),
        ("abc", {"attention": "afd", "values": "projection"}),
        ("afd", {"reduction": "max"}),
        ("semckd", {"hidden": 0}),
        ("reviewkd", {"width": 0}),
    ],
)
def test_nonsense_is_refused(method: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"side is|or more|no such choice|belong to|reduction is"):
        METHODS[method](**arguments)


def test_the_family_is_one() -> None:
    assert all(issubclass(METHODS[name], LayerAttention) for name in FAMILY)
    assert not any(METHODS[name].zero_when_equal or METHODS[name].needs_clean for name in NAMES)
