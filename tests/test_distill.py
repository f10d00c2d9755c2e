"""Distillation: one contract for every method, the pairing of layers, and the traps of public distillation code."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sotto import models
from sotto.distill import METHODS, Method, Teacher, observe, unwrap
from sotto.distill.at import AttentionTransfer, attention_distance, attention_map
from sotto.distill.mvat import MultiViewAttentionTransfer
from sotto.distill.output import Output
from sotto.errors import InputError
from sotto.losses import LOSSES
from sotto.models import Enhancer
from sotto.train import Objective
from sotto.types import Batch, Tap, View

VIEWS = ("channel", "global", "local")
every_method = pytest.mark.parametrize("name", METHODS)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def batch_of(samples: int = 1600, dtype: torch.dtype = torch.float32) -> Batch:
    clean = noise(2, samples, seed=1, dtype=dtype)
    noisy = clean + noise(2, samples, seed=2, dtype=dtype)
    return Batch(noisy, clean, torch.full((2,), samples), ("first", "second"))


def network(name: str = "manner-s", hidden: int = 12, depth: int = 2, seed: int = 0) -> Enhancer:
    torch.manual_seed(seed)
    return models.create(name, hidden=hidden, depth=depth)


def other(name: str, seed: int) -> Enhancer:
    """A small network of another kind than MANNER."""
    small = {"unet": {"width": 8, "depth": 3, "groups": 2}, "demucs": {"hidden": 4, "depth": 3}}
    torch.manual_seed(seed)
    return models.create(name, **small[name]) if name in small else network(name, seed=seed)


def connected(name: str, student: Enhancer, teacher: Enhancer) -> Method:
    """A method that knows the taps and the sizes of both networks."""
    method, noisy = METHODS[name](), batch_of().noisy
    method.connect(student.taps, teacher.taps)
    torch.manual_seed(7)
    with torch.no_grad():
        views = [
            observe(copy.deepcopy(one).eval(), noisy, taps)
            for one, taps in ((student, method.student_taps), (teacher, method.teacher_taps))
        ]
    method.prepare(*views)
    return method


def shown(teacher: Enhancer, method: Method, batch: Batch) -> View:
    """The teacher's View; its estimate is the clean speech if ``method`` asks which network comes closer to that."""
    view = Teacher(teacher)(batch, method.teacher_taps)
    return View(batch.clean, view.feats) if method.needs_clean and batch.clean is not None else view


PAIRS = [("manner-s", "manner-b"), ("unet", "unet"), ("unet", "manner-b"), ("manner-s", "demucs"), ("demucs", "unet")]
BY_VIEWS = ("mvat",)
"""Methods that read what only some networks have."""


@every_method
@pytest.mark.parametrize(("student_name", "teacher_name"), PAIRS)
def test_any_teacher_teaches_any_student(name: str, student_name: str, teacher_name: str) -> None:
    student, teacher, batch = other(student_name, 0), other(teacher_name, 1), batch_of()
    if name in BY_VIEWS and {student_name, teacher_name} & {"unet", "demucs"}:
        with pytest.raises(InputError, match="share no"):
            connected(name, student, teacher)
        return
    method = connected(name, student, teacher)
    target = shown(teacher, method, batch)
    loss = method(observe(student, batch.noisy, method.student_taps), target, batch)
    assert torch.isfinite(loss)
    assert loss > 0
    loss.backward()
    reached = [one.grad.abs().max() for one in student.parameters() if one.grad is not None]
    assert max(reached) > 0
    for learnt, parameter in method.named_parameters():
        assert parameter.grad is not None, learnt
        assert torch.isfinite(parameter.grad).all(), learnt
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(not figure.requires_grad and torch.isfinite(figure).all() for figure in method.figures().values())


# The contract of every method


@every_method
def test_the_loss_is_positive_and_moves_only_the_student(name: str) -> None:
    student, teacher, batch = network(), network("manner-b", 18, 3, seed=1), batch_of()
    method = connected(name, student, teacher)
    target = shown(teacher, method, batch)
    loss = method(observe(student, batch.noisy, method.student_taps), target, batch)
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert loss > 0
    loss.backward()
    # The first convolution lies before every tap.
    first = student.get_parameter("in_conv.0.weight").grad
    assert first is not None
    assert torch.isfinite(first).all()
    assert first.abs().max() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not any(tensor.requires_grad for tensor in (target.wave, *target.feats.values()))


@every_method
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(name: str) -> None:
    student, batch = network("manner-b").eval(), batch_of()
    teacher = copy.deepcopy(student)
    method = connected(name, student, teacher)
    loss = method(
        observe(student, batch.noisy, method.student_taps), Teacher(teacher)(batch, method.teacher_taps), batch
    )
    if method.zero_when_equal:
        assert loss.abs() < 1e-6
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in student.parameters() if p.grad is not None)


@every_method
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    student, teacher, batch = network(), network("manner-b", depth=3), batch_of(1100, torch.float64)
    method = METHODS[name]()
    method.connect(student.taps, teacher.taps)
    target = View(
        noise(2, 1100, seed=3, dtype=torch.float64),
        {tap: noise(2, 4, 9, seed=4 + i, dtype=torch.float64) for i, tap in enumerate(method.teacher_taps)},
    )
    wave = batch.noisy.clone().requires_grad_()
    feats = [noise(2, 3, 7, seed=40 + i, dtype=torch.float64) for i, _ in enumerate(method.student_taps)]
    inputs = (wave, *(feature.requires_grad_() for feature in feats))
    torch.manual_seed(7)
    method.prepare(View(wave, dict(zip(method.student_taps, feats, strict=True))), target)
    method.double()

    def loss(wave: Tensor, *feats: Tensor) -> Tensor:
        return method(View(wave, dict(zip(method.student_taps, feats, strict=True))), target, batch)

    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)


@every_method
def test_a_method_says_which_references_it_needs(name: str) -> None:
    student, teacher, batch = network(), network("manner-b", seed=1), batch_of()
    method = connected(name, student, teacher)
    views = observe(student, batch.noisy, method.student_taps), Teacher(teacher)(batch, method.teacher_taps)
    without = Batch(batch.noisy, None, batch.lengths)
    if not method.needs_clean:
        assert torch.equal(method(*views, without), method(*views, batch))


@every_method
def test_what_a_method_learns_is_made_once(name: str) -> None:
    student, teacher = network(), Teacher(network("manner-b", depth=3, seed=1))
    objective = Objective({}, {name: METHODS[name]()}, student, teacher)
    objective.prepare(student, batch_of())
    before = [id(parameter) for parameter in objective.parameters()]
    optimizer = torch.optim.SGD([*student.parameters(), *objective.parameters()], lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        objective(student, batch_of())[0].backward()
        optimizer.step()
    assert [id(parameter) for parameter in objective.parameters()] == before
    frozen = {id(parameter) for parameter in teacher.network.parameters()}
    assert not frozen & set(before)


# Eq. 1 and 2


def test_attention_map_and_distance_by_hand() -> None:
    # Sums of squares over three channels: 3 and 4, so the map is (3, 4) / 5.
    student = torch.tensor([[[1.0, 0.0], [-1.0, -2.0], [1.0, 0.0]]])
    teacher = torch.tensor([[[0.0, 7.0]]])
    assert attention_map(student).tolist() == [pytest.approx([0.6, 0.8])]
    assert attention_distance(student, teacher).item() == pytest.approx(0.6 + 0.2)
    assert attention_distance(student, teacher, "l2").item() == pytest.approx(math.hypot(0.6, 0.2))
    assert attention_map(student, power=1).tolist() == [pytest.approx([3 / math.hypot(3, 2), 2 / math.hypot(3, 2)])]


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_distance_is_its_slow_version(norm: str) -> None:
    student, teacher = noise(3, 5, 40, seed=1), noise(3, 8, 40, seed=2)
    slow = []
    for a, b in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        maps = [sum(channel**2 for channel in feature) for feature in (a, b)]
        difference = maps[0] / np.sqrt(np.sum(maps[0] ** 2)) - maps[1] / np.sqrt(np.sum(maps[1] ** 2))
        slow.append(np.sum(np.abs(difference)) if norm == "l1" else np.sqrt(np.sum(difference**2)))
    total = attention_distance(student, teacher, norm)
    assert total.item() == pytest.approx(np.mean(slow), abs=1e-6)
    assert attention_distance(student, teacher, norm, "mean").item() == pytest.approx(total.item() / 40)


def test_channels_may_be_permuted_scaled_and_negated() -> None:
    feature = noise(2, 6, 30)
    assert attention_distance(feature, -3 * feature[:, torch.randperm(6)]) < 1e-6


@pytest.mark.parametrize(("length", "wanted"), [(16, 64), (64, 16), (15, 63), (250, 1000), (1, 5), (7, 7)])
def test_a_map_of_another_length_is_interpolated_linearly(length: int, wanted: int) -> None:
    feature = noise(1, 4, length, seed=length, dtype=torch.float64)
    energy = feature.square().sum(1)[0].numpy()
    places = np.clip((np.arange(wanted) + 0.5) * length / wanted - 0.5, 0, length - 1)
    expected = np.interp(places, np.arange(length), energy)
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
    with pytest.raises(ValueError, match="no loss is called"):
        Output(loss="kl")


# Which layer teaches which


@cache
def declared(depth: int, attention: str) -> dict[str, Tap]:
    return models.create("manner-b" if attention == "every" else "manner-s", hidden=12, depth=depth).taps


def has_views(layer: int, depth: int, attention: str) -> bool:
    return attention == "every" or layer == depth


@pytest.mark.parametrize("dual_depth", [True, False])
@pytest.mark.parametrize("attentions", [(s, t) for s in ("every", "deepest") for t in ("every", "deepest")])
def test_every_combination_of_depths_is_paired(attentions: tuple[str, str], dual_depth: bool) -> None:
    ours, theirs = attentions
    for shallow in range(1, 5):
        for deep in range(1, 5):
            layers = {
                (j, k)
                for j in range(1, shallow + 1)
                for k in range(1, deep + 1)
                if j == k or (dual_depth and j == shallow and k > shallow)
            }
            attended = {(j, k) for j, k in layers if has_views(j, shallow, ours) and has_views(k, deep, theirs)}
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
                student, teacher = declared(shallow, ours), declared(deep, theirs)
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
    ours = observe(student, batch.noisy, method.student_taps)
    theirs = Teacher(teacher)(batch, method.teacher_taps)
    by_hand = [attention_distance(ours.feats[s], theirs.feats[t], "l2", "mean") for s, t in method.pairs]
    assert len(by_hand) == 12
    assert method(ours, theirs, batch).item() == pytest.approx(sum(term.item() for term in by_hand))


# Output distillation


@pytest.mark.parametrize("loss", LOSSES)
def test_different_waveforms_always_cost_something(loss: str) -> None:
    """A Kullback-Leibler divergence over an axis of length one would be 0 here."""
    batch = batch_of()
    assert batch.clean is not None
    value = Output(loss)(View(batch.noisy), View(batch.clean), batch)
    assert value > 0.01
    assert value.item() == pytest.approx(LOSSES[loss]()(batch.clean, batch.noisy, batch.noisy).mean().item())


# The teacher


def test_the_teacher_stays_as_it_is_whoever_calls_train() -> None:
    teacher = Teacher(network("manner-b", depth=3, seed=1).train())
    before = copy.deepcopy(teacher.network.state_dict())
    student = network().train()
    objective = Objective({"l1": LOSSES["l1"]()}, {"mvat": METHODS["mvat"](), "kd": Output()}, student, teacher)
    optimizer = torch.optim.Adam([*student.parameters(), *objective.parameters()], lr=1e-3)
    statistics = student.get_buffer("in_conv.1.running_mean").clone()
    for _ in range(2):
        teacher.network.train()
        objective.train()
        total, terms = objective(student, batch_of())
        assert set(terms) == {"loss/l1", "kd/mvat", "kd/kd"}
        assert all(term > 0 for term in terms.values())
        total.backward()
        optimizer.step()
    assert not teacher.network.training
    assert all(torch.equal(value, before[name]) for name, value in teacher.network.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in teacher.network.parameters())
    assert student.training
    assert not torch.equal(student.get_buffer("in_conv.1.running_mean"), statistics)


def test_the_teacher_is_no_part_of_what_trains_or_is_saved() -> None:
    objective = Objective({}, {"mvat": METHODS["mvat"]()}, network(), Teacher(network("manner-b")))
    assert not list(objective.parameters())
    assert not objective.parts.state_dict()


# Hooks


class Compiled(nn.Module):
    """Wraps as torch.compile does."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self._orig_mod = inner

    def forward(self, noisy: Tensor) -> Tensor:
        return self._orig_mod(noisy)


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def wrap(inner: nn.Module, how: str) -> nn.Module:
    if how == "compiled":
        return Compiled(inner)
    if how == "fabric":
        return Fabric(accelerator="cpu", devices=1).setup_module(inner)
    parallel = nn.parallel.DistributedDataParallel(inner)
    return Compiled(parallel) if how == "compiled parallel" else parallel


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("how", ["compiled", "fabric", "parallel", "compiled parallel"])
def test_a_wrapped_network_shows_the_same_view(how: str) -> None:
    plain, batch = network("manner-b").eval(), batch_of()
    expected = observe(plain, batch.noisy, plain.taps)
    wrapped = wrap(copy.deepcopy(plain), how).eval()
    assert isinstance(unwrap(wrapped), Enhancer)
    view = observe(wrapped, batch.noisy, plain.taps)
    assert torch.equal(view.wave, expected.wave)
    assert list(view.feats) == list(expected.feats)
    assert all(torch.equal(view.feats[tap], expected.feats[tap]) for tap in view.feats)
    assert not hooks_on(unwrap(wrapped))


def test_what_wraps_no_network_is_told() -> None:
    with pytest.raises(TypeError, match="Linear wraps no Enhancer"):
        unwrap(Compiled(nn.Linear(1, 1)))


def hooks_on(module: nn.Module) -> int:
    return sum(len(inner._forward_hooks) + len(inner._forward_pre_hooks) for inner in module.modules())


def test_no_hook_stays_behind() -> None:
    plain, noisy = network(), noise(2, 500)
    observe(plain, noisy, plain.taps)
    assert not hooks_on(plain)
    with pytest.raises(RuntimeError):
        observe(plain, noisy.double(), plain.taps)
    assert not hooks_on(plain)
    with pytest.raises(InputError, match="no such tap"):
        observe(plain, noisy, ["encoder.1", "encoder.9"])
    assert not hooks_on(plain)


class Silent(Enhancer):
    """Declares a tap whose module never runs."""

    name = "silent"

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Identity()

    @property
    def taps(self) -> dict[str, Tap]:
        return {"unused": Tap("unused")}

    def forward(self, noisy: Tensor) -> Tensor:
        return noisy


def test_a_silent_tap_is_an_error_and_no_missing_term() -> None:
    with pytest.raises(RuntimeError, match="no features came from unused"):
        observe(Silent(), noise(1, 10), ["unused"])


def test_features_are_turned_to_channels_first_and_to_single_precision() -> None:
    plain, noisy = network(hidden=12, depth=2).eval(), noise(2, 500)
    view: dict[str, Any] = observe(plain, noisy, ["latent", "encoder.2"]).feats
    assert view["latent"].shape == view["encoder.2"].shape == (2, 48, view["latent"].shape[-1])
    half = observe(plain.bfloat16(), noisy.bfloat16(), ["latent"])
    assert half.wave.dtype == half.feats["latent"].dtype == torch.float32
