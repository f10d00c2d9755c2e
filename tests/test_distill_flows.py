"""FSP, factor transfer, attention in time and channels, and DISPatch."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.noise import noise
from helpers.taps import anywhere
from helpers.views import batch_of, ready, view_of
from sordino.distill.methods.channel_time import ChannelTime, channel_energy, divergence, time_energy
from sordino.distill.methods.dispatch import Dispatch, patch_errors, patch_heights, select
from sordino.distill.methods.factor import Factors, FactorTransfer, factor_distance
from sordino.distill.methods.fsp import Flow, flow
from sordino.errors import InputError
from sordino.types import View

# FSP


def test_a_flow_is_its_slow_version() -> None:
    first, second = noise(2, 3, 6, 4, seed=1, level=1.0), noise(2, 5, 6, 4, seed=2, level=1.0)
    slow = np.zeros((2, 3, 5))
    for b, c, d in itertools.product(range(2), range(3), range(5)):
        slow[b, c, d] = np.mean(first[b, c].numpy() * second[b, d].numpy())
    assert flow(first, second).flatten().tolist() == pytest.approx(slow.ravel().tolist(), abs=1e-6)
    longer = first.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.allclose(flow(longer, second), flow(first, second), atol=1e-6)
    assert torch.allclose(flow(second, longer), flow(first, second).transpose(1, 2), atol=1e-6)


def test_flows_lead_from_layer_to_layer_on_one_side() -> None:
    student, teacher = view_of("spectra", 1), view_of("spectra", 20)
    method = ready(Flow(), student, teacher)
    assert isinstance(method, Flow)
    assert method.flows == [(0, 1)]
    flows = [flow(view.feats["encoder.1"], view.feats["encoder.2"]) for view in (student, teacher)]
    expected = (flows[0] - flows[1]).square().mean()
    assert method(student, teacher, batch_of()).item() == pytest.approx(expected.item())
    with pytest.raises(InputError, match="a flow leads from layer to layer"):
        Flow("decoder").connect(*[{"encoder.1": anywhere(), "decoder.1": anywhere()}] * 2)


def test_a_layer_without_frequencies_meets_the_mean_over_those_of_its_neighbour() -> None:
    first, second = noise(2, 3, 6, 4, seed=1, level=1.0), noise(2, 5, 6, seed=2, level=1.0)
    expected = flow(first.mean(dim=-1), second)
    assert torch.allclose(flow(first, second), expected, atol=1e-6)
    assert torch.allclose(flow(second, first), expected.transpose(1, 2), atol=1e-6)


def test_frames_may_be_shuffled_alike_in_both_layers() -> None:
    first, second, order = noise(2, 3, 8, level=1.0), noise(2, 4, 8, seed=1, level=1.0), torch.randperm(8)
    assert torch.allclose(flow(first[..., order], second[..., order]), flow(first, second), atol=1e-6)


# Factor transfer


def test_factors_are_compared_at_unit_length() -> None:
    student_feature, teacher_feature = noise(3, 2, 5, seed=1, level=1.0), noise(3, 2, 5, seed=2, level=1.0)
    slow = []
    for a, b in zip(student_feature.numpy(), teacher_feature.numpy(), strict=True):
        slow.append(np.sum(np.abs(a / np.sqrt(np.sum(a**2)) - b / np.sqrt(np.sum(b**2)))) / math.sqrt(a.size))
    assert factor_distance(student_feature, teacher_feature).item() == pytest.approx(np.mean(slow), rel=1e-5)
    assert factor_distance(5 * student_feature, student_feature) < 1e-6
    assert factor_distance(torch.ones(1, 4, 25), -torch.ones(1, 4, 25)).item() == pytest.approx(2)


def test_the_paraphraser_learns_from_its_own_reconstruction_alone() -> None:
    student, teacher = view_of("waves", 1), view_of("waves", 20)
    ready(FactorTransfer(), student, teacher)
    factors = Factors(2, 4, 0.5)
    assert [
        part.out_channels for part in (factors.paraphraser[0], factors.translator[0]) if isinstance(part, nn.Conv1d)
    ] == [2, 2]
    transfer, lost = factors(student.feats["encoder.1"], noise(3, 4, 11, seed=4, level=1.0))
    own = [*factors.paraphraser.parameters(), *factors.restore.parameters()]
    teacher_feature = list(factors.translator.parameters())
    assert all(one is None for one in torch.autograd.grad(transfer, own, allow_unused=True, retain_graph=True))
    assert all(one is not None for one in torch.autograd.grad(transfer, teacher_feature, retain_graph=True))
    assert all(one is None for one in torch.autograd.grad(lost, teacher_feature, allow_unused=True, retain_graph=True))
    assert all(one is not None for one in torch.autograd.grad(lost, own))


def test_the_parts_of_factor_transfer_add_up() -> None:
    student, teacher = view_of("waves", 1), view_of("spectra", 20)
    method = ready(FactorTransfer(), student, teacher)
    total = method(student, teacher, batch_of())
    parts = method.figures()["parts"]
    assert parts.shape == (len(method.rows), len(method.columns))
    assert parts.sum().item() == pytest.approx(total.item())


# Attention in time and channels


def test_energies_in_time_and_channels_are_their_slow_versions() -> None:
    feature = noise(2, 3, 4, 5, level=1.0)
    squares = feature.numpy() ** 2
    assert time_energy(feature).flatten().tolist() == pytest.approx(squares.mean(axis=(1, 3)).ravel().tolist())
    assert channel_energy(feature).flatten().tolist() == pytest.approx(squares.mean(axis=(2, 3)).ravel().tolist())


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_divergence_is_its_slow_version(temperature: float) -> None:
    student_feature, teacher_feature = noise(3, 6, seed=1, level=1.0).square(), noise(3, 6, seed=2, level=1.0).square()
    slow = []
    for a, b in zip(student_feature.numpy(), teacher_feature.numpy(), strict=True):
        p, q = (np.exp(each / each.mean() / temperature) for each in (b, a))
        p, q = p / p.sum(), q / q.sum()
        slow.append(np.sum(p * np.log(p / q)))
    assert divergence(student_feature, teacher_feature, temperature).item() == pytest.approx(np.mean(slow), rel=1e-4)
    assert divergence(student_feature, 7 * student_feature).item() == pytest.approx(0, abs=1e-6)


def test_channels_count_for_time_only_together() -> None:
    student, teacher = view_of("waves", 1), view_of("waves", 20)
    time = ready(ChannelTime(channel_weight=0), student, teacher)
    assert not list(time.parameters())
    turned = View(student.wave, {tap: -feature.flip(1) for tap, feature in student.feats.items()})
    assert time(turned, student, batch_of()).abs() < 1e-5
    channel = ready(ChannelTime(time_weight=0), student, teacher)
    late = View(student.wave, {tap: feature.flip(2) for tap, feature in student.feats.items()})
    assert channel(late, student, batch_of()).abs() < 1e-5
    both = ready(ChannelTime(2, 3), student, teacher)
    parts = 2 * time(student, teacher, batch_of()) + 3 * channel(student, teacher, batch_of())
    assert both(student, teacher, batch_of()).item() == pytest.approx(parts.item(), rel=1e-5)


# DISPatch


def test_patches_cover_the_band() -> None:
    assert patch_heights(257, 20, 20, 0.25) == [20] * 12 + [17]
    assert patch_heights(257, 10, 40, 0.25) == [10] * 6 + [40] * 4 + [37]
    assert patch_heights(257, 10, 40, 1) == [10] * 25 + [7]
    for low, high, split in itertools.product((1, 3, 300), (1, 7, 300), (0.0, 0.3, 1.0)):
        assert sum(patch_heights(257, low, high, split)) == 257


def test_patch_errors_are_their_slow_version() -> None:
    one, other = noise(2, 7, 5, seed=1, level=1.0), noise(2, 7, 5, seed=2, level=1.0)
    found = patch_errors(one, other, [3, 4], frames=2)
    assert found.shape == (2, 2, 3)
    squares = (one - other).numpy() ** 2
    for band, frame in itertools.product(range(2), range(3)):
        patch = squares[:, (slice(0, 3), slice(3, 7))[band], 2 * frame : 2 * frame + 2]
        assert found[:, band, frame].tolist() == pytest.approx(patch.mean(axis=(1, 2)).tolist())


def test_the_largest_gaps_are_selected_where_the_teacher_is_better() -> None:
    gap = torch.tensor([[3.0, -1.0, 0.0, 2.0], [-1.0, -2.0, -3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    assert select(gap, 0.5).tolist() == [[True, False, False, True], [False] * 3 + [True], [False, False, True, True]]
    assert select(gap, 1.0).tolist() == (gap > 0).tolist()
    assert select(gap, 0.01).sum(dim=1).tolist() == [1, 1, 1]


def spectrum(wave: Tensor) -> np.ndarray:
    """Magnitudes as DISPatch defines them, by numpy: frames of 512 samples, 128 apart, mirrored ends, Hann window."""
    padded = np.pad(wave.double().numpy(), ((0, 0), (256, 256)), mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    starts = range(0, padded.shape[1] - 511, 128)
    return np.stack([np.abs(np.fft.rfft(padded[:, s : s + 512] * window)) for s in starts], axis=2)


def test_dispatch_is_its_slow_version() -> None:
    batch = batch_of(2, 1500)
    assert batch.clean is not None
    student_feature, teacher_feature = batch.noisy, batch.clean + 0.08 * noise(2, 1500, seed=7, level=1.0)
    student, teacher, clean = (spectrum(wave) for wave in (student_feature, teacher_feature, batch.clean))
    edges = [*range(0, 257, 20), 257]
    total, chosen_patches = 0.0, 0
    for b in range(2):
        gaps, costs = [], []
        for low, high in itertools.pairwise(edges):
            for n in range(student.shape[2]):
                s, t, c = (each[b, low:high, n] for each in (student, teacher, clean))
                gaps.append(np.mean((s - c) ** 2) - np.mean((t - c) ** 2))
                costs.append(np.mean((s - t) ** 2))
        chosen = [i for i in np.argsort(gaps)[::-1][: int(0.6 * len(gaps))] if gaps[i] > 0]
        total += sum(costs[i] for i in chosen) / (0.6 * len(gaps)) / 2
        chosen_patches += len(chosen)
    method = Dispatch(fraction=0.6)
    assert method(View(student_feature), View(teacher_feature), batch).item() == pytest.approx(total, rel=1e-4)
    share = method.figures()["patches"]
    assert share.shape == (len(method.rows), 1)
    assert share.mean().item() == pytest.approx(chosen_patches / len(gaps) / 2)


def test_dispatch_leaves_alone_what_the_student_does_better() -> None:
    batch = batch_of(2, 1500)
    assert batch.clean is not None
    student = batch.clean.clone().requires_grad_()
    loss = Dispatch()(View(student), View(batch.noisy), batch)
    assert loss == 0
    loss.backward()
    assert Dispatch()(View(batch.noisy), View(batch.clean), batch) > 0
    half = torch.cat([batch.noisy[:, :750], batch.clean[:, 750:]], dim=1).requires_grad_()
    Dispatch(fraction=1.0)(
        View(half), View(torch.cat([batch.clean[:, :750], batch.noisy[:, 750:]], dim=1)), batch
    ).backward()
    assert half.grad is not None
    assert half.grad[:, :400].abs().max() > 0
    assert not half.grad[:, -200:].any()
