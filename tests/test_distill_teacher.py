"""The teacher and the taps: traps of public distillation code."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from helpers.networks import batch_of, network
from helpers.noise import noise
from helpers.taps import anywhere
from sordino.distill.methods import METHODS
from sordino.distill.methods.output import Output
from sordino.distill.teachers import Teacher, observe, unwrap
from sordino.errors import InputError
from sordino.losses import LOSSES
from sordino.models import Enhancer
from sordino.training import Objective
from sordino.types import Tap

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


def test_what_wraps_no_network_is_reported() -> None:
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
        return {"latent": anywhere("unused")}

    def forward(self, noisy: Tensor) -> Tensor:
        return 0.5 * noisy


def test_a_silent_tap_is_an_error_and_no_missing_term() -> None:
    with pytest.raises(InputError, match=r"^tap latent of silent: unused did not run in the pass, so there is no"):
        observe(Silent(), noise(1, 10), iter(["latent"]))


def test_features_are_turned_to_channels_first_and_to_single_precision() -> None:
    plain, noisy = network(hidden=12, depth=2).eval(), noise(2, 500)
    view: dict[str, Any] = observe(plain, noisy, ["latent", "encoder.2"]).feats
    assert view["latent"].shape == view["encoder.2"].shape == (2, 48, view["latent"].shape[-1])
    half = observe(plain.bfloat16(), noisy.bfloat16(), ["latent"])
    assert half.wave.dtype == half.feats["latent"].dtype == torch.float32
