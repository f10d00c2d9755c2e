"""The objective: weighted terms, which of them are computed, and items without clean speech."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.recipes import batch_of, objective_of, pair
from sordino import losses, models
from sordino.distill.methods import METHODS
from sordino.distill.teachers import Teacher
from sordino.errors import InputError
from sordino.losses import L1, LOSSES
from sordino.training import Balance, Objective, Ramp
from sordino.training.checks import check
from sordino.training.log import RunningMeans
from sordino.types import Batch, View


def test_ramps_go_from_start_to_end_and_stay() -> None:
    linear, cosine = Ramp("linear", 10, 1.0, 3.0), Ramp("cosine", 10)
    assert [linear.at(step) for step in (0, 5, 10, 99)] == [1.0, 2.0, 3.0, 3.0]
    assert [cosine.at(step) for step in (0, 5, 10)] == pytest.approx([0, 0.5, 1])
    assert cosine.at(2) == pytest.approx((1 - math.cos(math.pi / 5)) / 2)


def test_terms_without_a_reference_are_no_part_of_the_logged_means() -> None:
    student, objective = objective_of()
    batch = batch_of()
    assert objective.meaningful(["loss/l1", "kd/output"], batch) == ["loss/l1", "kd/output"]
    without = Batch(batch.noisy, torch.zeros_like(batch.noisy), batch.lengths, batch.ids, torch.tensor([False, False]))
    _, terms = objective(student, without)
    assert terms["loss/l1"] == 0
    assert objective.meaningful(terms, without) == ["kd/output"]
    running = RunningMeans()
    running.add({"loss/l1": 1.0, "total": 3.0})
    running.add({"total": 5.0})
    assert RunningMeans(running.sums, running.counts).take() == {"loss/l1": 1.0, "total": 4.0}
    assert running.take() == {"loss/l1": 1.0, "total": 4.0}
    assert running.take() == {}


def test_a_term_of_weight_zero_is_not_computed_and_its_teacher_not_asked() -> None:
    student, objective = objective_of(weights={"kd/output": 0.0})
    objective.teacher = None
    _, terms = objective(student, batch_of())
    assert set(terms) == {"loss/l1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"kd/outptu": 1.0}}, "did you mean kd/output"),
        ({"stages": [{"kd/outptu": 1.0}, {}]}, "stages.0.weights.kd/outptu"),
        ({"weights": {"kd/output": 0.0, "loss/l1": 0.0}}, "nothing to minimise"),
        ({"weights": {"kd/output": Balance(1.0), "loss/l1": 0.0}}, "every term is balanced"),
    ],
)
def test_weights_that_make_no_sense_are_reported(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective_of(**options)


def test_losses_see_the_labelled_items_alone() -> None:
    student, objective = objective_of()
    student.eval()
    batch = batch_of(4)
    assert batch.clean is not None
    partly = Batch(batch.noisy, batch.clean, batch.lengths, batch.ids, torch.tensor([True, False, True, False]))
    half = Batch(batch.noisy[::2], batch.clean[::2], batch.lengths[::2], batch.ids[::2])
    with torch.no_grad():
        assert objective(student, partly)[1]["loss/l1"].item() == pytest.approx(
            objective(student, half)[1]["loss/l1"].item()
        )
        assert objective(student, partly)[1]["kd/output"].item() == objective(student, batch)[1]["kd/output"].item()
    none = Batch(batch.noisy, None, batch.lengths, batch.ids)
    total, terms = objective(student, none)
    assert terms["loss/l1"].item() == 0
    assert total.item() == pytest.approx(terms["kd/output"].item())


def test_a_first_batch_of_noise_alone_passes_the_checks() -> None:
    """Losses that cannot compare with silence are 0 there, which is no fault of theirs."""
    student, _ = pair()
    batch = batch_of(seconds=1.0)
    losses = {name: LOSSES[name]() for name in LOSSES}
    silence = Batch(batch.noisy, torch.zeros_like(batch.noisy), batch.lengths, batch.ids)
    terms = check(Objective(losses, {}, student), student, silence)
    without_scale = {"loss/perceptual", "loss/si_sdr", "loss/stoi", "loss/llr"}
    assert {name for name, term in terms.items() if term == 0} == without_scale
    assert all(term > 0 for name, term in terms.items() if name not in without_scale)


def test_what_goes_to_a_gpu_has_no_double_precision() -> None:
    """Apple's GPUs have none, and refuse a module with such a buffer."""
    student, large = (models.create("manner-s", hidden=2, depth=depth) for depth in (3, 4))
    for name in METHODS:
        objective = Objective({"l1": L1()}, {name: METHODS[name]()}, student, Teacher(large))
        state = [*objective.buffers(), *objective.parameters(), *student.buffers()]
        assert all(one.dtype != torch.float64 for one in state), name


def test_total_is_the_weighted_sum() -> None:
    student = models.create("manner-s", hidden=2, depth=3)
    teacher = Teacher(models.create("manner-b", hidden=6, depth=3))
    weights = {"loss/weighted": 0.5, "kd/output": 2.0}
    losses, methods = {"weighted": LOSSES["weighted"]()}, {"output": METHODS["output"]()}
    objective = Objective(losses, methods, student, teacher, weights)
    total, terms = objective(student, batch_of())
    assert total.item() == pytest.approx(0.5 * terms["loss/weighted"].item() + 2 * terms["kd/output"].item(), rel=1e-6)


def test_objective_tells_what_does_not_fit() -> None:
    student = models.create("manner-s", hidden=2, depth=3)
    loss, method = {"weighted": LOSSES["weighted"]()}, {"output": METHODS["output"]()}
    with pytest.raises(InputError, match="no teacher"):
        Objective(loss, method, student)
    with pytest.raises(InputError, match="did you mean loss/weighted"):
        Objective(loss, {}, student, None, {"loss/weigted": 2.0})
    with pytest.raises(InputError, match="nothing to minimise"):
        Objective({}, {}, student)
    batch = batch_of()
    with pytest.raises(InputError, match="without clean references"):
        Objective(loss, {}, student)(student, Batch(batch.noisy, None, batch.lengths, batch.ids))
    with pytest.raises(InputError, match="loss/weighted: nan on the batch"):
        Objective(loss, {}, student)(student, Batch(batch.noisy * float("nan"), batch.clean, batch.lengths, batch.ids))


def test_label_free_batches_train_on_the_teacher_alone() -> None:
    student = models.create("manner-s", hidden=2, depth=3)
    teacher = Teacher(models.create("manner-b", hidden=6, depth=3))
    batch = batch_of()
    total, terms = Objective({}, {"output": METHODS["output"]()}, student, teacher)(
        student, Batch(batch.noisy, None, batch.lengths, batch.ids)
    )
    total.backward()
    assert terms.keys() == {"kd/output"}
    assert all(parameter.grad is not None for parameter in student.parameters())


class Deep(nn.Module):
    """A loss between the features of a network, with all that training changes: weights, dropout, batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv1d(1, 4, 9), nn.BatchNorm1d(4), nn.Dropout(0.5))

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        first, second = (self.network(wave.unsqueeze(1)) for wave in (reference, estimate))
        return (first - second).square().mean((1, 2))


def test_a_loss_learns_nothing_though_all_around_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "deep", Deep)
    loss, (student, teacher) = losses.create("deep"), pair()
    inside = METHODS["output"](loss="deep")
    objective = Objective({"deep": loss}, {"output": inside}, student, teacher)
    before = {name: value.clone() for name, value in objective.parts.state_dict().items()}
    objective.train()
    first, again = (objective(student.eval(), batch_of())[0] for _ in range(2))
    first.backward()
    assert first == again, "no dropout"
    assert not any(one.requires_grad for one in objective.parameters())
    torch.testing.assert_close(objective.parts.state_dict(), before, rtol=0, atol=0)


def test_a_teacher_of_the_users_gets_no_gradient() -> None:
    class Own:
        name, sample_rate, taps = "own", 16000, {}
        gain = nn.Parameter(torch.tensor(0.5))

        def to(self, device: torch.device) -> Own:
            return self

        def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
            return View(self.gain * batch.noisy)

    student, teacher = pair()[0], Own()
    objective = Objective({}, {"output": METHODS["output"](loss="l1")}, student, teacher)
    objective(student, batch_of())[0].backward()
    assert teacher.gain.grad is None


@pytest.mark.parametrize(("shape", "written"), [((), "[]"), ((2, 5), "[2, 5]"), ((3,), "[3]")])
def test_a_loss_of_the_users_returns_a_value_for_each_recording(shape: tuple[int, ...], written: str) -> None:
    student = pair()[0]
    own = losses.FunctionLoss(lambda clean, estimate, noisy: estimate.mean() * torch.ones(shape))
    with pytest.raises(InputError, match=re.escape(f"loss/own: returned the shape {written}; expected [B]")):
        Objective({"own": own}, {}, student)(student, batch_of())
