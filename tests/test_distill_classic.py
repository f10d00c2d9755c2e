"""The bounded loss, FitNets and VID."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from helpers.noise import noise
from helpers.views import batch_of, ready, view_of
from sordino.distill.methods.bounded import Bounded, bounded
from sordino.distill.methods.fitnets import FitNets
from sordino.distill.methods.vid import Variational, negative_log_likelihood
from sordino.losses import LOSSES
from sordino.types import View

# The bounded loss


def test_only_items_where_the_teacher_is_better_count() -> None:
    student, teacher = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([2.0, 2.0, 2.0])
    assert bounded(student, teacher).tolist() == [3, 0, 0]
    assert bounded(student, teacher, margin=0.5).tolist() == [3, 0, 2]
    assert bounded(student, teacher, margin=1.5).tolist() == [3, 1, 2]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_bounded_loss_is_the_supervised_one_on_those_items(loss: str) -> None:
    samples = 16000 if loss in ("perceptual", "stoi") else 2600
    batch = batch_of(3, samples)
    assert batch.clean is not None
    better, worse = batch.clean + 0.01 * noise(3, samples, seed=5, level=1.0), batch.noisy
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
    feature = noise(4, 3, 50, seed=1, level=1.0)
    mixed = torch.einsum("dc,bcn->bdn", noise(5, 3, seed=2, level=1.0), feature) + noise(1, 5, 1, seed=3, level=1.0)
    student, teacher = (
        View(noise(4, 10, level=1.0), {"encoder.1": feature}),
        View(noise(4, 10, level=1.0), {"encoder.1": mixed}),
    )
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
    mean, target, variance = (
        noise(2, 3, 4, seed=1, level=1.0),
        noise(2, 3, 4, seed=2, level=1.0),
        torch.tensor([0.5, 1.0, 4.0]),
    )
    gaussian = torch.distributions.Normal(mean, variance.sqrt().view(1, 3, 1))
    expected = -gaussian.log_prob(target).mean() - 0.5 * math.log(2 * math.pi)
    assert negative_log_likelihood(mean, variance, target).item() == pytest.approx(expected.item(), rel=1e-5)
    assert negative_log_likelihood(mean, torch.full((3,), 1e-3), mean) < 0


def test_variances_begin_as_asked_and_settle_where_the_student_cannot_tell() -> None:
    student, teacher = view_of("waves", 1), view_of("waves", 20)
    for variance in (0.01, 2.0, 1000.0):
        method = ready(Variational(side="encoder", variance=variance), student, teacher)
        begun = method.figures()["deviation"].flatten().tolist()
        assert begun == pytest.approx([math.sqrt(variance)] * 2, rel=1e-3)
    # One channel of the teacher is the student's own, the other is noise of variance 9 that is drawn anew each time.
    feature = noise(8, 2, 100, seed=5, level=1.0)
    method = ready(
        Variational(),
        View(noise(8, 4, level=1.0), {"encoder.1": feature}),
        View(noise(8, 4, level=1.0), {"encoder.1": feature}),
    )
    optimizer = torch.optim.Adam(method.parameters(), lr=0.05)
    for step in range(200):
        target = torch.stack([feature[:, 0], 3 * noise(8, 100, seed=step, level=1.0)], dim=1)
        optimizer.zero_grad()
        method(
            View(noise(8, 4, level=1.0), {"encoder.1": feature}),
            View(noise(8, 4, level=1.0), {"encoder.1": target}),
            batch_of(8),
        ).backward()
        optimizer.step()
    assert isinstance(method, Variational)
    informative, noisy = torch.nn.functional.softplus(method.gaussians[0].get_parameter("alpha")).tolist()
    assert informative < 0.3
    assert 7 < noisy < 11
