"""Methods that compare similarities and relations, not values: SP, CLSKD, two-step, RKD and PKT."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sotto.distill import METHODS, Method
from sotto.distill.clskd import CrossLayerSimilarity
from sotto.distill.pkt import Probabilistic, divergence, neighbours
from sotto.distill.rkd import Relational, angles, distances
from sotto.distill.similarity import Axis, Similarity, TwoStep, rows, similarity, similarity_distance
from sotto.errors import InputError
from sotto.types import Batch, Tap, View

TAPS = {"encoder.1": Tap("a", "BCNF"), "encoder.2": Tap("b", "BCNF"), "decoder.1": Tap("c", "BCNF")}
FLAT = {name: Tap(tap.path) for name, tap in TAPS.items()}
SIZES = {
    "spectra": ((2, 9, 6), (3, 9, 4), (2, 9, 6)),
    "wider spectra": ((4, 12, 8), (5, 12, 5), (3, 12, 8)),
    "waves": ((2, 11), (4, 5), (2, 11)),
}
NAMES = ("similarity", "two_step", "clskd", "rkd", "pkt")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def view_of(kind: str, seed: int, items: int = 3) -> View:
    """Features of the sizes that ``SIZES`` names, and an estimate that nobody here reads."""
    features = {
        tap: noise(items, *size, seed=seed + i) for i, (tap, size) in enumerate(zip(TAPS, SIZES[kind], strict=True))
    }
    return View(noise(items, 40, seed=seed), features)


def batch_of(items: int = 3) -> Batch:
    return Batch(noise(items, 40), None, torch.full((items,), 40))


def ready(method: Method, student: View, teacher: View) -> Method:
    taps = [TAPS if view.feats["encoder.1"].ndim == 4 else FLAT for view in (student, teacher)]
    method.connect(*taps)
    torch.manual_seed(3)
    method.prepare(student, teacher)
    return method.double()


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
    ours, theirs = noise(3, 2, 7, 5, seed=1), noise(3, 4, 7, 5, seed=2)
    terms = []
    for student, teacher in zip(slow_rows(ours.numpy(), axis), slow_rows(theirs.numpy(), axis), strict=True):
        difference = slow_similarity(teacher) - slow_similarity(student)
        terms.append(np.sum(difference**2) / len(student) ** 2)
    assert similarity_distance(ours, theirs, axis).item() == pytest.approx(np.mean(terms), rel=1e-9)


def test_similarity_by_hand() -> None:
    # X X^T = ((25, 15), (15, 25)); each row has the length sqrt(25^2 + 15^2).
    length = math.hypot(25, 15)
    found = similarity(torch.tensor([[3.0, 4.0], [5.0, 0.0]]))
    assert found.flatten().tolist() == pytest.approx([25 / length, 15 / length, 15 / length, 25 / length])


@pytest.mark.parametrize("axis", ["batch", "frame_batch", "intra_time", "intra_frequency"])
def test_channels_may_be_rotated_and_scaled(axis: Axis) -> None:
    feature = noise(3, 4, 6, 5)
    rotation = torch.linalg.qr(noise(4, 4, seed=9)).Q
    rotated = 100 * torch.einsum("dc,bcnf->bdnf", rotation, feature)
    assert similarity_distance(rotated, feature, axis) < 1e-20
    assert similarity_distance(feature[:, :2], feature, axis) > 1e-4


@pytest.mark.parametrize("axis", ["batch", "frame_batch", "intra_time"])
def test_any_two_features_have_comparable_rows(axis: Axis) -> None:
    shapes = ((3, 2, 7), (3, 5, 9), (3, 4, 6, 3), (3, 2, 12, 5))
    for one, other in itertools.product(shapes, shapes):
        assert similarity_distance(noise(*one, seed=1), noise(*other, seed=2), axis) > 0


def test_time_within_an_item_is_averaged_down() -> None:
    feature = noise(2, 3, 40, seed=4)
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
    feature = noise(2, 3, 7, 5, seed=5)
    assert similarity_distance(feature.repeat_interleave(3, dim=3), feature, "intra_frequency") < 1e-20
    assert similarity_distance(feature, feature.repeat_interleave(3, dim=3), "intra_frequency") < 1e-20


def test_over_the_batch_the_loss_is_bound_to_it_and_within_items_it_is_not() -> None:
    ours, theirs = noise(4, 2, 6, 5, seed=1), noise(4, 3, 6, 5, seed=2)
    within: tuple[Axis, ...] = ("intra_time", "intra_frequency")
    for axis in within:
        single = [similarity_distance(ours[i : i + 1], theirs[i : i + 1], axis) for i in range(4)]
        assert similarity_distance(ours, theirs, axis).item() == pytest.approx(torch.stack(single).mean().item())
    assert similarity_distance(ours[:1], theirs[:1], "batch") == 0
    assert similarity_distance(ours[:2], theirs[:2], "batch") != similarity_distance(ours[:3], theirs[:3], "batch")


# Which layers, which axes


def test_axes_and_layers_are_summed() -> None:
    student, teacher = view_of("spectra", 1), view_of("wider spectra", 10)
    axes: tuple[Axis, ...] = ("batch", "intra_frequency")
    method = ready(Similarity(axes), student, teacher)
    by_hand = [similarity_distance(student.feats[tap], teacher.feats[tap], axis) for tap in TAPS for axis in axes]
    assert method(student, teacher, batch_of()).item() == pytest.approx(torch.stack(by_hand).sum().item())
    only = ready(Similarity(side="decoder"), student, teacher)
    assert only.student_taps == only.teacher_taps == ("decoder.1",)


def test_frequencies_are_passed_over_where_a_network_has_none() -> None:
    student, teacher = view_of("waves", 1), view_of("spectra", 10)
    both, time = ready(TwoStep(), student, teacher), ready(Similarity(("intra_time",)), student, teacher)
    assert both(student, teacher, batch_of()) == time(student, teacher, batch_of())
    with pytest.raises(InputError, match="no layers with frequencies"):
        Similarity(("intra_frequency",)).connect(FLAT, TAPS)


def test_deeper_layers_of_the_teacher_can_teach_too() -> None:
    deeper = {**TAPS, "encoder.3": Tap("d", "BCNF")}
    method = Similarity(dual_depth=True)
    method.connect(TAPS, deeper)
    assert ("encoder.2", "encoder.3") in method.pairs
    single = Similarity()
    single.connect(TAPS, deeper)
    assert all(ours == theirs for ours, theirs in single.pairs)
    with pytest.raises(InputError, match="share no encoder"):
        Similarity(side="encoder").connect({"decoder.1": Tap("c")}, TAPS)


# What holds for all of them


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("ours", "theirs"), list(itertools.product(SIZES, SIZES)))
def test_sizes_and_axes_may_differ_in_any_way(name: str, ours: str, theirs: str) -> None:
    student, teacher = view_of(ours, 1), view_of(theirs, 20)
    for feature in student.feats.values():
        feature.requires_grad_()
    method = ready(METHODS[name](), student, teacher)
    loss = method(student, teacher, batch_of())
    loss.backward()
    assert loss.shape == ()
    assert loss > 0
    for feature in student.feats.values():
        assert feature.grad is not None
        assert torch.isfinite(feature.grad).all()
        assert feature.grad.abs().max() > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("silent", ["student", "teacher", "both", "frames", "item"])
def test_silence_is_no_trap(name: str, silent: str) -> None:
    student, teacher = (
        View(one.wave.float(), {t: f.float() for t, f in one.feats.items()})
        for one in (view_of("waves", 1), view_of("waves", 20))
    )
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
    method = ready(METHODS[name](), student, teacher).float()
    loss = method(student, teacher, batch_of())
    assert torch.isfinite(loss)
    loss.backward()
    for feature in student.feats.values():
        assert feature.grad is not None
        assert torch.isfinite(feature.grad).all()
        assert feature.grad.abs().max() < 1e4


@pytest.mark.parametrize("name", ["similarity", "two_step", "rkd", "pkt"])
def test_autocast_does_not_coarsen_it(name: str) -> None:
    student, teacher = (
        View(one.wave.float(), {t: f.float() for t, f in one.feats.items()})
        for one in (view_of("spectra", 1), view_of("spectra", 20))
    )
    method = ready(METHODS[name](), student, teacher).float()
    plain = method(student, teacher, batch_of())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = method(student, teacher, batch_of())
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(plain.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("method", "least"),
    [(Similarity(), 2), (CrossLayerSimilarity(), 2), (Relational("items"), 3), (Probabilistic("items"), 2)],
)
def test_a_batch_with_nothing_to_compare_is_refused(method: Method, least: int) -> None:
    views = view_of("waves", 1, least - 1), view_of("waves", 20, least - 1)
    with pytest.raises(InputError, match=rf"has {least - 1}; expected at least {least}; raise train.batch_size"):
        ready(method, *views)
    assert ready(TwoStep(), view_of("waves", 1, 1), view_of("waves", 20, 1)).pairs


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


# CLSKD


def test_clskd_compares_the_fused_layers_frame_by_frame() -> None:
    student, teacher = view_of("spectra", 1), view_of("wider spectra", 20)
    method = ready(CrossLayerSimilarity(), student, teacher).eval()
    assert isinstance(method, CrossLayerSimilarity)
    assert method.fusion is not None
    outputs, _ = method.fusion([student.feats[tap] for tap in ("encoder.1", "encoder.2", "decoder.1")])
    by_hand = [
        similarity_distance(output, teacher.feats[tap], "frame_batch")
        for output, tap in zip(outputs, TAPS, strict=True)
    ]
    assert method(student, teacher, batch_of()).item() == pytest.approx(torch.stack(by_hand).sum().item())


def test_clskd_fuses_along_frequency_alone() -> None:
    student, teacher = view_of("spectra", 1), view_of("spectra", 20)
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
    student, teacher = view_of("spectra", 1), view_of("spectra", 20)
    method = ready(CrossLayerSimilarity(width=5), student, teacher)
    assert not method.figures()
    method(student, teacher, batch_of()).backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert method.rows == ["encoder.1", "encoder.2"]
    gates = method.figures()["gates"]
    assert gates.shape == (len(method.rows), len(method.columns))
    assert ((gates > 0) & (gates < 1)).all()


# RKD


def test_distances_and_angles_are_their_slow_versions() -> None:
    points = noise(6, 4, seed=1)
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
    views = [View(noise(1, 4), {"encoder.1": feature}) for feature in (student, teacher)]
    taps = {"encoder.1": Tap("a")}

    def huber(one: float, other: float) -> float:
        gap = abs(one - other)
        return gap**2 / 2 if gap < 1 else gap - 0.5

    ours, theirs = {(0, 1): 3 / 4, (0, 2): 4 / 4, (1, 2): 5 / 4}, {(0, 1): 3 / 4, (0, 2): 6 / 4, (1, 2): 3 / 4}
    of_distances = 2 * sum(huber(ours[pair], theirs[pair]) for pair in ours) / 9
    # cosines at points 0, 1 and 2, each for two orders of the other two; i = k gives 1 for both.
    of_angles = 2 * (huber(0, 1) + huber(3 / 5, -1) + huber(4 / 5, 1)) / 27
    for weights, expected in (
        ((1.0, 0.0), of_distances),
        ((0.0, 1.0), of_angles),
        ((1.0, 2.0), of_distances + 2 * of_angles),
    ):
        method = Relational("frames", *weights)
        method.connect(taps, taps)
        assert method(*views, batch_of(1)).item() == pytest.approx(expected)


@pytest.mark.parametrize("among", ["frames", "items"])
def test_embeddings_may_be_moved_rotated_and_scaled(among: str) -> None:
    student = view_of("waves", 1, items=4)
    rotation = torch.linalg.qr(noise(4, 4, seed=9)).Q
    feature = student.feats["encoder.2"]
    moved = 7 * torch.einsum("dc,bcn->bdn", rotation, feature) + noise(1, 4, 1, seed=8)
    taps = {"encoder.2": Tap("b")}
    method = Relational("frames" if among == "frames" else "items")
    method.connect({**taps, "encoder.1": Tap("a")}, taps)
    teacher = View(student.wave, {"encoder.2": moved})
    assert method(student, teacher, batch_of(4)) < 1e-20
    assert method(student, view_of("waves", 30, items=4), batch_of(4)) > 1e-4


def test_frames_that_repeat_have_a_bounded_gradient() -> None:
    feature = noise(1, 3, 8, seed=2).float()
    feature[:, :, 4:] = feature[:, :, 4:5] + 1e-7 * feature[:, :, 4:]
    feature.requires_grad_()
    found = angles(distances(feature.transpose(1, 2)))
    found.square().sum().backward()
    assert feature.grad is not None
    assert feature.grad.abs().max() < 1e4


# PKT


def test_neighbours_are_their_slow_version() -> None:
    points = noise(5, 3, seed=1)
    kernel = np.array(
        [
            [(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)) + 1) / 2 for b in points.numpy()]
            for a in points.numpy()
        ]
    )
    expected = np.array([row / row.sum() for row in kernel])
    found = neighbours(points)
    assert found.flatten().tolist() == pytest.approx(expected.ravel().tolist(), abs=1e-9)
    other = neighbours(noise(5, 2, seed=2))
    slow = np.mean(
        [
            sum(p * math.log(p / q) for p, q in zip(*rows, strict=True))
            for rows in zip(expected, other.numpy(), strict=True)
        ]
    )
    assert divergence(other, found).item() == pytest.approx(slow, rel=1e-6)
    assert divergence(found, found) == 0


def test_each_row_may_be_scaled() -> None:
    points = noise(5, 3, seed=1)
    scaled = points * torch.tensor([1.0, 2.0, 0.5, 10.0, 3.0]).unsqueeze(1)
    assert torch.allclose(neighbours(scaled), neighbours(points), atol=1e-9)
    assert neighbours(torch.zeros(4, 3)).flatten().tolist() == pytest.approx([0.25] * 16)
