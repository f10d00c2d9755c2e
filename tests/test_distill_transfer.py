"""Attention transfer with its pairing of layers, and output distillation."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from helpers.networks import batch_of, network
from helpers.noise import noise
from sordino import models
from sordino.distill.layers.positions import match
from sordino.distill.methods import METHODS
from sordino.distill.methods.at import AttentionTransfer, attention_distance, attention_map
from sordino.distill.methods.mvat import MultiViewAttentionTransfer
from sordino.distill.methods.output import Output
from sordino.distill.teachers import Teacher, observe
from sordino.errors import InputError
from sordino.losses import LOSSES
from sordino.types import Tap, View

VIEWS = ("channel", "global", "local")


# Eq. 1 and 2


def test_attention_map_and_distance_by_hand() -> None:
    # Sums of squares over three channels: 3 and 4, so the map is (3, 4) / 5.
    student = torch.tensor([[[1.0, 0.0], [-1.0, -2.0], [1.0, 0.0]]])
    teacher = torch.tensor([[[0.0, 7.0]]])
    assert attention_map(student).tolist() == [pytest.approx([0.6, 0.8])]
    assert attention_distance(student, teacher).item() == pytest.approx((0.6 + 0.2) / 2)
    assert attention_distance(student, teacher, reduction="sum").item() == pytest.approx(0.6 + 0.2)
    assert attention_distance(student, teacher, "l2", "sum").item() == pytest.approx(math.hypot(0.6, 0.2))
    assert attention_map(student, power=1).tolist() == [pytest.approx([3 / math.hypot(3, 2), 2 / math.hypot(3, 2)])]


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_distance_is_its_slow_version(norm: str) -> None:
    student, teacher = noise(3, 5, 40, seed=1), noise(3, 8, 40, seed=2)
    slow = []
    for a, b in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        maps = [sum(channel**2 for channel in feature) for feature in (a, b)]
        difference = maps[0] / np.sqrt(np.sum(maps[0] ** 2)) - maps[1] / np.sqrt(np.sum(maps[1] ** 2))
        slow.append(np.sum(np.abs(difference)) if norm == "l1" else np.sqrt(np.sum(difference**2)))
    total = attention_distance(student, teacher, norm, "sum")
    assert total.item() == pytest.approx(np.mean(slow), abs=1e-6)
    assert attention_distance(student, teacher, norm, "mean").item() == pytest.approx(total.item() / 40)


def test_channels_may_be_permuted_scaled_and_negated() -> None:
    feature = noise(2, 6, 30)
    assert attention_distance(feature, -3 * feature[:, torch.randperm(6)]) < 1e-6


@pytest.mark.parametrize(("length", "wanted"), [(16, 64), (15, 63), (250, 1000), (1, 5), (7, 7)])
def test_a_shorter_map_is_interpolated_linearly(length: int, wanted: int) -> None:
    feature = noise(1, 4, length, seed=length, dtype=torch.float64)
    energy = feature.square().sum(1)[0].numpy()
    places = np.clip((np.arange(wanted) + 0.5) * length / wanted - 0.5, 0, length - 1)
    expected = np.interp(places, np.arange(length), energy)
    expected /= np.sqrt(np.sum(expected**2))
    assert attention_map(feature, length=wanted)[0].tolist() == pytest.approx(expected.tolist(), abs=1e-12)


@pytest.mark.parametrize(("length", "wanted"), [(64, 16), (4000, 100), (63, 15), (5, 1)])
def test_a_longer_map_is_averaged(length: int, wanted: int) -> None:
    feature = noise(1, 4, length, seed=length, dtype=torch.float64)
    energy = feature.square().sum(1)[0].numpy()
    bounds = [(i * length // wanted, -(-(i + 1) * length // wanted)) for i in range(wanted)]
    expected = np.array([energy[first:last].mean() for first, last in bounds])
    expected /= np.sqrt(np.sum(expected**2))
    assert attention_map(feature, length=wanted)[0].tolist() == pytest.approx(expected.tolist(), abs=1e-12)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_an_all_zero_map_is_no_trap(norm: str) -> None:
    student = torch.zeros(2, 3, 10, requires_grad=True)
    for teacher in (torch.zeros(2, 3, 10), noise(2, 3, 10)):
        distance = attention_distance(student, teacher, norm)
        distance.backward()
        assert torch.isfinite(distance)
        assert student.grad is not None
        assert torch.isfinite(student.grad).all()
    assert not attention_map(student).any()


def test_wrong_arguments_are_refused() -> None:
    wrongs: list[dict[str, Any]] = [{"norm": "l3"}, {"reduction": "max"}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="norm is l1 or l2"):
            AttentionTransfer(**wrong)
    with pytest.raises(ValueError, match="no such loss"):
        Output(loss="kl")
    weights: dict[str, dict[str, float]] = {
        "no such loss": {"l1": 1.0, "kl": 1.0},
        "the weight of l1 is 0 or more": {"l1": -1.0},
        "no loss between the estimates": {"l1": 0.0},
    }
    for message, loss in weights.items():
        with pytest.raises(ValueError, match=message):
            Output(loss)


# Which layer teaches which


@cache
def declared(depth: int, attention: str) -> dict[str, Tap]:
    return models.create("manner-b" if attention == "every" else "manner-s", hidden=12, depth=depth).taps


def has_views(layer: int, depth: int, attention: str) -> bool:
    return attention == "every" or layer == depth


@pytest.mark.parametrize("dual_depth", [True, False])
@pytest.mark.parametrize("attentions", [(s, t) for s in ("every", "deepest") for t in ("every", "deepest")])
def test_every_combination_of_depths_is_paired(attentions: tuple[str, str], dual_depth: bool) -> None:
    student_feature, teacher_feature = attentions
    for shallow in range(1, 5):
        for deep in range(1, 5):
            layers = {
                (j, k)
                for j in range(1, shallow + 1)
                for k in range(1, deep + 1)
                if j == k or (dual_depth and j == shallow and k > shallow)
            }
            attended = {
                (j, k)
                for j, k in layers
                if has_views(j, shallow, student_feature) and has_views(k, deep, teacher_feature)
            }
            for method, pairs, kinds in (
                (AttentionTransfer(dual_depth=dual_depth), layers, ("",)),
                (MultiViewAttentionTransfer(dual_depth=dual_depth), attended, tuple(f".{view}" for view in VIEWS)),
            ):
                expected = {
                    (f"{side}.{j}{kind}", f"{side}.{k}{kind}")
                    for side in ("encoder", "decoder")
                    for j, k in pairs
                    for kind in kinds
                }
                student, teacher = declared(shallow, student_feature), declared(deep, teacher_feature)
                if not expected:
                    with pytest.raises(InputError, match="share no channel or global or local features"):
                        method.connect(student, teacher)
                    continue
                method.connect(student, teacher)
                assert len(method.pairs) == len(expected)
                assert set(method.pairs) == expected
                assert sorted(method.student_taps) == sorted({s for s, _ in expected})
                assert sorted(method.teacher_taps) == sorted({t for _, t in expected})


def test_the_paper_s_pairs_of_layers() -> None:
    method = MultiViewAttentionTransfer()
    method.connect(declared(3, "deepest"), declared(4, "every"))
    pairs = [(f"{side}.3", f"{side}.{layer}") for side in ("encoder", "decoder") for layer in (3, 4)]
    assert sorted(method.pairs) == sorted((f"{s}.{view}", f"{t}.{view}") for s, t in pairs for view in VIEWS)
    single = MultiViewAttentionTransfer(dual_depth=False)
    single.connect(declared(3, "deepest"), declared(4, "every"))
    assert len(single.pairs) == 6
    assert {t.rpartition(".")[0] for _, t in single.pairs} == {"encoder.3", "decoder.3"}


def test_networks_without_any_common_features_are_refused() -> None:
    for name in ("at", "mvat"):
        with pytest.raises(InputError, match="share no"):
            METHODS[name]().connect({}, declared(2, "every"))


def test_the_loss_is_the_sum_over_pairs() -> None:
    student, teacher, batch = network(depth=1), network("manner-b", seed=1), batch_of()
    method = MultiViewAttentionTransfer("l2", reduction="mean")
    method.connect(student.taps, teacher.taps)
    student_feature = observe(student, batch.noisy, method.student_taps)
    teacher_feature = Teacher(teacher)(batch, method.teacher_taps)
    by_hand = []
    for s, t in method.pairs:
        pair = match((student_feature.feats[s], teacher_feature.feats[t]), (student.taps[s], teacher.taps[t]))
        by_hand.append(attention_distance(*pair, "l2", "mean"))
    assert len(by_hand) == 12
    assert method(student_feature, teacher_feature, batch).item() == pytest.approx(sum(term.item() for term in by_hand))


# Output distillation


@pytest.mark.parametrize("loss", LOSSES)
def test_different_waveforms_always_cost_something(loss: str) -> None:
    """A Kullback-Leibler divergence over an axis of length one would be 0 here."""
    batch = batch_of(16000 if loss in ("perceptual", "stoi") else 1600)
    assert batch.clean is not None
    value = Output(loss)(View(batch.noisy), View(batch.clean), batch)
    assert value > 0.01
    assert value.item() == pytest.approx(LOSSES[loss]()(batch.clean, batch.noisy, batch.noisy).mean().item())


def test_several_losses_are_summed_with_their_weights() -> None:
    batch = batch_of(1600)
    assert batch.clean is not None
    views = View(batch.noisy), View(batch.clean)
    both = Output({"l1": 2.0, "snr": 0.01})(*views, batch)
    assert both.item() == pytest.approx(
        2 * Output("l1")(*views, batch).item() + 0.01 * Output("snr")(*views, batch).item()
    )
