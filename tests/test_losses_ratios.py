"""SI-SDR and SNR as losses: against the metrics, against closed forms, and at their corners."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from helpers.noise import noise, precise
from sordino.losses import SiSdr, Snr
from sordino.metrics import si_sdr_db, snr_db

LOSSES = [SiSdr(), Snr()]
both = pytest.mark.parametrize("loss", LOSSES, ids=["si_sdr", "snr"])


def at_ratio(ratio_db: float) -> tuple[Tensor, Tensor]:
    """Clean speech and an estimate whose error is orthogonal to it, ``ratio_db`` below."""
    clean, error = precise(2, 4000, seed=1, level=0.1), precise(2, 4000, seed=2, level=0.1)
    error = error - (error * clean).sum(-1, keepdim=True) / clean.square().sum(-1, keepdim=True) * clean
    scale = clean.square().sum(-1, keepdim=True).sqrt() / error.square().sum(-1, keepdim=True).sqrt()
    return clean, clean + 10 ** (-ratio_db / 20) * scale * error


def gradient(loss: torch.nn.Module, clean: Tensor, estimate: Tensor, noisy: Tensor) -> tuple[Tensor, Tensor]:
    estimate = estimate.detach().clone().requires_grad_()
    value = loss(clean, estimate, noisy)
    return value.detach(), torch.autograd.grad(value.sum(), estimate)[0]


@pytest.mark.parametrize("ratio_db", [-10.0, 0.0, 6.0, 13.0])
def test_away_from_the_bounds_they_are_the_metrics(ratio_db: float) -> None:
    clean, estimate = at_ratio(ratio_db)
    for loss, metric in ((SiSdr(), si_sdr_db), (Snr(), snr_db)):
        expected = [metric(c.numpy(), e.numpy()) for c, e in zip(clean, estimate, strict=True)]
        assert expected == pytest.approx([ratio_db] * 2, abs=0.1)
        assert (30 - loss(clean, estimate, clean)).tolist() == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("max_db", [20.0, 30.0])
def test_the_soft_threshold_in_closed_form(max_db: float) -> None:
    k = 10 ** (-max_db / 10)
    for ratio_db in (15.0, 30.0, 60.0):
        clean, estimate = at_ratio(ratio_db)
        r = 10 ** (-ratio_db / 10)
        si_sdr = 10 * math.log10((r + k) / (k * (1 + k * r)))
        assert SiSdr(max_db)(clean, estimate, clean).tolist() == pytest.approx([si_sdr] * 2, rel=1e-4)
        assert Snr(max_db)(clean, estimate, clean).tolist() == pytest.approx([10 * math.log10(r / k + 1)] * 2, rel=1e-5)


@both
def test_gradients_are_those_of_finite_differences(loss: torch.nn.Module) -> None:
    clean, estimate, noisy = (
        precise(2, 90, seed=1, level=0.1),
        precise(2, 90, seed=1, level=0.1) + precise(2, 90, seed=2, level=0.1),
        precise(2, 90, seed=3, level=0.1),
    )
    estimate.requires_grad_()
    assert torch.autograd.gradcheck(lambda guess: loss(clean, guess, noisy), (estimate,))
    clean.requires_grad_()
    assert torch.autograd.gradcheck(lambda target: loss(target, estimate.detach(), noisy), (clean,))


def test_one_is_blind_to_scale_and_sign_and_the_other_sees_both() -> None:
    clean, estimate = at_ratio(10.0)
    for changed in (-estimate, 0.25 * estimate):
        assert torch.allclose(SiSdr()(clean, changed, clean), SiSdr()(clean, estimate, clean), atol=1e-4)
    assert (Snr()(clean, 0.25 * estimate, clean) > Snr()(clean, estimate, clean) + 5).all()
    assert (Snr()(clean, -estimate, clean) > Snr()(clean, 0 * estimate, clean) + 5).all()
    # From an estimate upside down, descent by SNR leads upright.
    _, slope = gradient(Snr(), clean, -estimate, clean)
    assert ((-slope * clean).sum(-1) > 0).all()


@both
@pytest.mark.parametrize("error", [0.0, 1e-12, 1e-6, 1e-3, 1.0])
def test_the_gradient_is_bounded_however_good_the_estimate(loss: torch.nn.Module, error: float) -> None:
    """At most 10 / ln(10) / sqrt(k) divided by the norm of the speech."""
    clean = precise(2, 4000, seed=1, level=0.1)
    _, slope = gradient(loss, clean, clean + error * precise(2, 4000, seed=2, level=0.1), clean)
    bound = 10 / math.log(10) * 10**1.5 / torch.linalg.vector_norm(clean, dim=-1)
    assert (torch.linalg.vector_norm(slope, dim=-1) <= 1.001 * bound).all()


@both
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e-9, 1e-4, 1e6])
def test_loss_and_gradient_are_finite_at_any_level(loss: torch.nn.Module, scale: float) -> None:
    clean, noisy = noise(2, 4000, seed=1), noise(2, 4000, seed=2)
    for reference, estimate in ((clean, scale * noisy), (scale * clean, noisy), (scale * clean, scale * noisy)):
        value, slope = gradient(loss, reference, estimate, noisy)
        assert torch.isfinite(value).all()
        assert torch.isfinite(slope).all()
        assert (value >= 0).all()


def test_a_silent_reference_teaches_silence_by_snr_and_nothing_by_si_sdr() -> None:
    clean, noisy = precise(2, 4000, seed=1, level=0.1), precise(2, 4000, seed=2, level=0.1)
    clean[0] = 0
    value, slope = gradient(SiSdr(), clean, 0.5 * noisy, noisy)
    assert value[0] == 0
    assert not slope[0].any()
    assert slope[1].any()
    value, slope = gradient(Snr(), clean, 0.5 * noisy, noisy)
    # 6 dB of the noise gone, of 30.
    assert value[0].item() == pytest.approx(10 * math.log10(0.25 * 1000 + 1))
    assert (slope[0] * noisy[0]).sum() > 0
    assert Snr()(clean, 0 * noisy, noisy)[0] == 0
    value, slope = gradient(Snr(), 0 * clean, noisy, 0 * noisy)
    assert value.tolist() == [0, 0]
    assert not slope.any()


@pytest.mark.parametrize("loss", [SiSdr, Snr])
def test_a_bound_below_zero_is_refused(loss: type[torch.nn.Module]) -> None:
    with pytest.raises(ValueError, match="positive"):
        loss(max_db=0.0)
