"""Methods from the field's first years, and what speech made of them: the bounded loss, FitNets, VID, FSP, factor
transfer, DISPatch and attention transfer in time and channels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sotto import models
from sotto.distill import METHODS, Method, Teacher
from sotto.distill.bounded import Bounded, bounded
from sotto.distill.channel_time import ChannelTime, channel_energy, divergence, time_energy
from sotto.distill.dispatch import Dispatch, patch_errors, patch_heights, select
from sotto.distill.factor import Factors, FactorTransfer, factor_distance
from sotto.distill.fitnets import FitNets
from sotto.distill.fsp import Flow, flow
from sotto.distill.paired import aligned
from sotto.distill.vid import Variational, negative_log_likelihood
from sotto.errors import InputError
from sotto.losses import LOSSES
from sotto.train import Objective
from sotto.types import Batch, Tap, View

SIZES = {
    "spectra": ((2, 9, 6), (3, 9, 4), (2, 9, 6)),
    "wider spectra": ((4, 12, 8), (5, 12, 5), (3, 12, 8)),
    "waves": ((2, 11), (4, 5), (2, 11)),
}
NAMES = ("encoder.1", "encoder.2", "decoder.1")
PAIRED = ("fitnets", "vid", "fsp", "factor", "channel_time")
LEARNING = ("clskd", *PAIRED)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def view_of(kind: str, seed: int, items: int = 3) -> View:
    sizes = zip(NAMES, SIZES[kind], strict=True)
    return View(
        noise(items, 40, seed=seed), {tap: noise(items, *size, seed=seed + i) for i, (tap, size) in enumerate(sizes)}
    )


def batch_of(items: int = 3, samples: int = 40) -> Batch:
    clean = 0.1 * noise(items, samples, seed=100)
    return Batch(clean + 0.1 * noise(items, samples, seed=101), clean, torch.full((items,), samples))


def ready(method: Method, student: View, teacher: View) -> Method:
    taps = [
        {name: Tap("a", "BCN" if f.ndim == 3 else "BCNF") for name, f in view.feats.items()}
        for view in (student, teacher)
    ]
    method.connect(*taps)
    torch.manual_seed(3)
    method.prepare(student, teacher)
    return method


# What holds for all that compare pairs of layers


@pytest.mark.parametrize(("ours", "theirs"), list(itertools.product(SIZES, SIZES)))
def test_features_come_onto_the_student_s_grid(ours: str, theirs: str) -> None:
    for one, other in zip(view_of(ours, 1).feats.values(), view_of(theirs, 20).feats.values(), strict=True):
        student, teacher = aligned(one, other)
        assert student.shape[2:] == teacher.shape[2:]
        assert student.numel() == one.numel()
        assert teacher.shape[1] == other.shape[1] * (other.shape[3] if other.ndim == 4 and one.ndim == 3 else 1)


@pytest.mark.parametrize("name", PAIRED)
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
    read = [student.feats[tap] for tap in method.student_taps]
    for one in (*read, *method.parameters()):
        if name == "fsp" and one is read[-1]:
            continue  # a flow needs two layers, and the decoder has one
        if name != "fsp":
            assert one.grad is not None
        assert one.grad is None or torch.isfinite(one.grad).all()


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("silent", ["student", "teacher", "both", "frames", "item"])
def test_silence_is_no_trap(name: str, silent: str) -> None:
    student, teacher = view_of("waves", 1), view_of("waves", 20)
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
    method = ready(METHODS[name](), student, teacher)
    loss = method(student, teacher, batch_of())
    assert torch.isfinite(loss)
    loss.backward()
    for one in (*student.feats.values(), *method.parameters()):
        if one.grad is not None:
            assert torch.isfinite(one.grad).all()
            assert one.grad.abs().max() < 1e4


@pytest.mark.parametrize("name", PAIRED)
def test_autocast_hands_back_single_precision(name: str) -> None:
    student, teacher = view_of("spectra", 1), view_of("wider spectra", 20)
    method = ready(METHODS[name](), student, teacher).eval()
    plain = method(student, teacher, batch_of())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = method(student, teacher, batch_of())
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(plain.item(), rel=0.05)


@pytest.mark.parametrize("name", LEARNING)
def test_what_a_method_learns_is_no_part_of_the_student(name: str) -> None:
    student, teacher = (models.create("manner-s", hidden=hidden, depth=2) for hidden in (12, 18))
    keys = set(student.state_dict())
    objective = Objective({}, {name: METHODS[name]()}, student, Teacher(teacher))
    objective.prepare(student, batch_of(2, 1000))
    assert set(student.state_dict()) == keys
    learnt = list(objective.parameters())
    assert learnt
    assert not {id(one) for one in learnt} & {id(one) for one in student.parameters()}
    before = [one.detach().clone() for one in learnt]
    optimizer = torch.optim.SGD(learnt, lr=0.1)
    objective(student, batch_of(2, 1000))[0].backward()
    optimizer.step()
    assert any(not torch.equal(one, old) for one, old in zip(learnt, before, strict=True))


@pytest.mark.parametrize("name", ["fsp", "channel_time"])
def test_equal_features_of_one_size_cost_nothing_and_need_no_parameters(name: str) -> None:
    student = view_of("spectra", 1)
    method = ready(METHODS[name](), student, student)
    assert not list(method.parameters())
    assert method(student, student, batch_of()) == 0


def test_wrong_arguments_are_refused() -> None:
    for wrong, words in (
        (lambda: Bounded("kl"), "no loss is called"),
        (lambda: Bounded(margin=-1), "margin is 0 or more"),
        (lambda: FitNets("middle"), "side is both"),  # pyright: ignore[reportArgumentType]
        (lambda: Variational(variance=0), "variance is above"),
        (lambda: FactorTransfer(rate=0), "rate is above 0"),
        (lambda: ChannelTime(0, 0), "weights are 0 or more"),
        (lambda: ChannelTime(-1), "weights are 0 or more"),
        (lambda: ChannelTime(temperature=0), "temperature is above 0"),
        (lambda: Dispatch(0), "are shares"),
        (lambda: Dispatch(split=1.5), "are shares"),
        (lambda: Dispatch(frames=0), "bins and frames"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()


# The bounded loss


def test_only_items_where_the_teacher_is_better_count() -> None:
    student, teacher = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([2.0, 2.0, 2.0])
    assert bounded(student, teacher).tolist() == [3, 0, 0]
    assert bounded(student, teacher, margin=0.5).tolist() == [3, 0, 2]
    assert bounded(student, teacher, margin=1.5).tolist() == [3, 1, 2]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_bounded_loss_is_the_supervised_one_on_those_items(loss: str) -> None:
    batch = batch_of(3, 2600)
    assert batch.clean is not None
    better, worse = batch.clean + 0.01 * noise(3, 2600, seed=5), batch.noisy
    student = torch.stack([worse[0], better[1], worse[2]]).requires_grad_()
    method = Bounded(loss)
    value = method(View(student), View(torch.stack([better[0], worse[1], better[2]])), batch)
    supervised = LOSSES[loss]()(batch.clean, student, batch.noisy)
    assert value.item() == pytest.approx(supervised[[0, 2]].sum().item() / 3)
    value.backward()
    assert student.grad is not None
    assert student.grad.abs().amax(dim=1).gt(0).tolist() == [True, False, True]
    assert method.figures()["bound"].item() == pytest.approx(2 / 3)


def test_a_student_as_good_as_its_teacher_must_beat_the_margin() -> None:
    batch = batch_of(2, 2600)
    view = View(batch.noisy)
    assert Bounded("l1")(view, view, batch) == 0
    assert Bounded("l1", margin=0.01)(view, view, batch) > 0


# FitNets


@pytest.mark.parametrize("kind", ["spectra", "waves"])
def test_hints_are_a_mean_square_through_the_regressor(kind: str) -> None:
    student, teacher = view_of(kind, 1), view_of(kind, 20)
    method = ready(FitNets(norm=False), student, teacher)
    assert isinstance(method, FitNets)
    expected = 0.0
    for part, tap in zip(method.regressors, method.student_taps, strict=True):
        weight, bias = (value.detach().numpy() for value in part.parameters())
        guess = np.einsum("dc,bc...->bd...", weight[..., 0], student.feats[tap].numpy())
        guess += bias.reshape(-1, *[1] * (guess.ndim - 2))
        expected += np.mean((guess - teacher.feats[tap].numpy()) ** 2)
    assert method(student, teacher, batch_of()).item() == pytest.approx(expected, rel=1e-5)


def test_a_regressor_can_learn_any_mixture_of_channels() -> None:
    feature = noise(4, 3, 50, seed=1)
    mixed = torch.einsum("dc,bcn->bdn", noise(5, 3, seed=2), feature) + noise(1, 5, 1, seed=3)
    student, teacher = View(noise(4, 10), {"encoder.1": feature}), View(noise(4, 10), {"encoder.1": mixed})
    method = ready(FitNets(), student, teacher)
    optimizer = torch.optim.Adam(method.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss = method(student, teacher, batch_of(4))
        loss.backward()
        optimizer.step()
    assert loss < 1e-3 * mixed.var()


# VID


def test_the_likelihood_is_that_of_a_gaussian() -> None:
    mean, target, variance = noise(2, 3, 4, seed=1), noise(2, 3, 4, seed=2), torch.tensor([0.5, 1.0, 4.0])
    gaussian = torch.distributions.Normal(mean, variance.sqrt().view(1, 3, 1))
    expected = -gaussian.log_prob(target).mean() - 0.5 * math.log(2 * math.pi)
    assert negative_log_likelihood(mean, variance, target).item() == pytest.approx(expected.item(), rel=1e-5)
    assert negative_log_likelihood(mean, torch.full((3,), 1e-3), mean) < 0


def test_variances_begin_as_asked_and_settle_where_the_student_cannot_tell() -> None:
    student, teacher = view_of("waves", 1), view_of("waves", 20)
    method = ready(Variational(side="encoder", variance=2.0), student, teacher)
    assert method.figures()["deviation"].flatten().tolist() == pytest.approx([math.sqrt(2)] * 2, rel=1e-4)
    # One channel of the teacher is the student's own, the other is noise of variance 9 that is drawn anew each time.
    feature = noise(8, 2, 100, seed=5)
    method = ready(Variational(), View(noise(8, 4), {"encoder.1": feature}), View(noise(8, 4), {"encoder.1": feature}))
    optimizer = torch.optim.Adam(method.parameters(), lr=0.05)
    for step in range(200):
        target = torch.stack([feature[:, 0], 3 * noise(8, 100, seed=step)], dim=1)
        optimizer.zero_grad()
        method(
            View(noise(8, 4), {"encoder.1": feature}), View(noise(8, 4), {"encoder.1": target}), batch_of(8)
        ).backward()
        optimizer.step()
    assert isinstance(method, Variational)
    told, noisy = torch.nn.functional.softplus(method.gaussians[0].get_parameter("alpha")).tolist()
    assert told < 0.3
    assert 7 < noisy < 11


# FSP


def test_a_flow_is_its_slow_version() -> None:
    first, second = noise(2, 3, 6, 4, seed=1), noise(2, 5, 6, 4, seed=2)
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
        Flow("decoder").connect(
            {"encoder.1": Tap("a"), "decoder.1": Tap("a")}, {"encoder.1": Tap("a"), "decoder.1": Tap("a")}
        )


def test_frames_may_be_shuffled_alike_in_both_layers() -> None:
    first, second, order = noise(2, 3, 8), noise(2, 4, 8, seed=1), torch.randperm(8)
    assert torch.allclose(flow(first[..., order], second[..., order]), flow(first, second), atol=1e-6)


# Factor transfer


def test_factors_are_compared_at_unit_length() -> None:
    ours, theirs = noise(3, 2, 5, seed=1), noise(3, 2, 5, seed=2)
    slow = []
    for a, b in zip(ours.numpy(), theirs.numpy(), strict=True):
        slow.append(np.sum(np.abs(a / np.sqrt(np.sum(a**2)) - b / np.sqrt(np.sum(b**2)))) / math.sqrt(a.size))
    assert factor_distance(ours, theirs).item() == pytest.approx(np.mean(slow), rel=1e-5)
    assert factor_distance(5 * ours, ours) < 1e-6
    assert factor_distance(torch.ones(1, 4, 25), -torch.ones(1, 4, 25)).item() == pytest.approx(2)


def test_the_paraphraser_learns_from_its_own_reconstruction_alone() -> None:
    student, teacher = view_of("waves", 1), view_of("waves", 20)
    ready(FactorTransfer(), student, teacher)
    factors = Factors(2, 4, 0.5)
    assert [
        part.out_channels for part in (factors.paraphraser[0], factors.translator[0]) if isinstance(part, nn.Conv1d)
    ] == [2, 2]
    transfer, lost = factors(student.feats["encoder.1"], noise(3, 4, 11, seed=4))
    own = [*factors.paraphraser.parameters(), *factors.restore.parameters()]
    theirs = list(factors.translator.parameters())
    assert all(one is None for one in torch.autograd.grad(transfer, own, allow_unused=True, retain_graph=True))
    assert all(one is not None for one in torch.autograd.grad(transfer, theirs, retain_graph=True))
    assert all(one is None for one in torch.autograd.grad(lost, theirs, allow_unused=True, retain_graph=True))
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
    feature = noise(2, 3, 4, 5)
    squares = feature.numpy() ** 2
    assert time_energy(feature).flatten().tolist() == pytest.approx(squares.mean(axis=(1, 3)).ravel().tolist())
    assert channel_energy(feature).flatten().tolist() == pytest.approx(squares.mean(axis=(2, 3)).ravel().tolist())


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_divergence_is_its_slow_version(temperature: float) -> None:
    ours, theirs = noise(3, 6, seed=1).square(), noise(3, 6, seed=2).square()
    slow = []
    for a, b in zip(ours.numpy(), theirs.numpy(), strict=True):
        p, q = (np.exp(each / each.mean() / temperature) for each in (b, a))
        p, q = p / p.sum(), q / q.sum()
        slow.append(np.sum(p * np.log(p / q)))
    assert divergence(ours, theirs, temperature).item() == pytest.approx(np.mean(slow), rel=1e-4)
    assert divergence(ours, 7 * ours).item() == pytest.approx(0, abs=1e-6)


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
    one, other = noise(2, 7, 5, seed=1), noise(2, 7, 5, seed=2)
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
    ours, theirs = batch.noisy, batch.clean + 0.08 * noise(2, 1500, seed=7)
    student, teacher, clean = (spectrum(wave) for wave in (ours, theirs, batch.clean))
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
    assert method(View(ours), View(theirs), batch).item() == pytest.approx(total, rel=1e-4)
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
