"""The differentiable PESQ: against figures from outside, against finite differences, and at its corners."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from helpers.noise import precise
from sordino import models
from sordino.distill.methods.output import Output
from sordino.distill.teachers import Teacher
from sordino.errors import InputError
from sordino.losses import Perceptual
from sordino.losses.perceptual import mos
from sordino.training import Objective

RATE = 16000
REFERENCE = json.loads((Path(__file__).parent / "data" / "perceptual.json").read_text())


def waves(samples: int = RATE, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """(clean, estimate, noisy), [2,T] each: noise in syllables, under less and under more noise."""
    syllables = torch.sin(torch.arange(samples) / 800).clamp(min=0.01)
    clean = 0.1 * syllables * precise(2, samples, seed=1)
    estimate, noisy = clean + 0.02 * precise(2, samples, seed=2), clean + 0.1 * precise(2, samples, seed=3)
    return clean.to(dtype), estimate.to(dtype), noisy.to(dtype)


def loss_and_gradient(clean: Tensor, estimate: Tensor) -> tuple[Tensor, Tensor]:
    estimate = estimate.detach().clone().requires_grad_()
    loss = Perceptual()(clean, estimate, clean)
    (gradient,) = torch.autograd.grad(loss.sum(), estimate)
    return loss.detach(), gradient


# Figures from outside


def test_it_agrees_with_the_public_implementation_and_with_pesq(shared: Path) -> None:
    """The noisy file against the clean one of 34 pairs; the figures of both packages are in tests/data."""
    loss, pairs = Perceptual(), shared / "corpus" / "pairs"
    scores, of_pesq = [], []
    for name, expected in REFERENCE.items():
        folder, stem = name.split("/")
        files = (next((pairs / folder / side).glob(f"{stem}.*")) for side in ("clean", "noisy"))
        clean, noisy = (torch.from_numpy(soundfile.read(path, dtype="float32")[0]) for path in files)
        samples = min(len(clean), len(noisy))
        clean, noisy = clean[None, :samples], noisy[None, :samples]
        symmetric, asymmetric = loss.disturbances(clean, noisy)
        assert symmetric.item() == pytest.approx(expected["d_sym"], rel=0.01)
        assert asymmetric.item() == pytest.approx(expected["d_asym"], rel=0.01)
        scores.append(mos(loss(clean, noisy, noisy)).item() - expected["mos"])
        of_pesq.append(mos(loss(clean, noisy, noisy)).item() - expected["pesq_wb"])
    assert len(scores) == 34
    assert np.mean(np.abs(scores)) < 0.01
    assert np.mean(np.abs(of_pesq)) < 0.025
    assert np.max(np.abs(of_pesq)) < 0.1


def test_the_filters_are_those_of_scipy() -> None:
    scipy_signal = pytest.importorskip("scipy.signal")
    impulse = np.eye(1, 1024)[0]
    band = scipy_signal.butter(5, (325, 3250), "bandpass", fs=RATE, output="sos")
    whole = scipy_signal.lfilter((2.740826, -5.4816519, 2.740826), (1.0, -1.9444777, 0.94597794), impulse)
    loss = Perceptual()
    np.testing.assert_allclose(loss.level_response, scipy_signal.sosfilt(band, impulse), atol=1e-7)
    np.testing.assert_allclose(loss.input_response, whole, atol=1e-6)


def test_the_score_of_a_loss_is_pesqs_mapping() -> None:
    """P.862.2: a raw score of 4.5 becomes 4.644, one of 3.8224 / 1.3669 the middle of the scale."""
    assert mos(torch.tensor([0.0, 4.5 - 3.8224 / 1.3669])).tolist() == pytest.approx([4.644, 0.999 + 2], abs=1e-3)


# Gradients


def test_the_gradient_is_that_of_finite_differences() -> None:
    clean, estimate, _ = waves()
    loss = Perceptual()
    _, gradient = loss_and_gradient(clean, estimate)
    for seed in range(5):
        direction = precise(2, RATE, seed=10 + seed)
        up, down = (loss(clean, estimate + sign * 1e-7 * direction, clean) for sign in (1, -1))
        slope = (gradient * direction).sum(-1)
        assert ((up - down) / 2e-7).tolist() == pytest.approx(slope.tolist(), rel=1e-4)


def test_gradcheck_through_a_few_gains_of_the_estimate_and_of_the_reference() -> None:
    """Gradcheck of 16,000 samples would take hours: here the waveforms are functions of a few numbers."""
    clean, estimate, noisy = waves()
    shapes = torch.stack([estimate, noisy, precise(2, RATE, seed=5)])
    gains = torch.tensor([1.0, 0.3, 0.002], dtype=torch.float64, requires_grad=True)
    loss = Perceptual()
    assert torch.autograd.gradcheck(lambda g: loss(clean, torch.einsum("k,kbt->bt", g, shapes), noisy), (gains,))
    assert torch.autograd.gradcheck(lambda g: loss(torch.einsum("k,kbt->bt", g, shapes), estimate, noisy), (gains,))


def test_float32_has_the_gradient_of_float64() -> None:
    clean, estimate, _ = waves()
    loss, gradient = loss_and_gradient(clean, estimate)
    single, of_single = loss_and_gradient(clean.float(), estimate.float())
    assert single.dtype == of_single.dtype == torch.float32
    assert single.tolist() == pytest.approx(loss.tolist(), rel=1e-4)
    assert torch.linalg.vector_norm(of_single - gradient) < 1e-3 * torch.linalg.vector_norm(gradient)


# What it measures


def test_it_orders_estimates_and_a_perfect_one_costs_nothing() -> None:
    clean, estimate, noisy = waves()
    loss = Perceptual()
    better, worse = loss(clean, estimate, noisy), loss(clean, noisy, noisy)
    assert (better > 0.5).all()
    assert (better < worse).all()
    assert loss(clean, clean, noisy).tolist() == pytest.approx([0, 0], abs=1e-9)
    assert mos(loss(clean, clean, noisy)).tolist() == pytest.approx([4.644, 4.644], abs=1e-3)


def test_descent_along_the_gradient_raises_the_score() -> None:
    clean, estimate, noisy = waves(dtype=torch.float32)
    before = mos(Perceptual()(clean, estimate, noisy))
    for _ in range(30):
        _, gradient = loss_and_gradient(clean, estimate)
        estimate = estimate - 2e-3 * gradient / gradient.abs().amax(-1, keepdim=True)
    assert (mos(Perceptual()(clean, estimate, noisy)) > before + 0.3).all()


def test_it_hears_neither_level_nor_sign() -> None:
    clean, estimate, noisy = waves()
    loss = Perceptual()
    expected = pytest.approx(loss(clean, estimate, noisy).tolist(), rel=1e-4)
    assert loss(clean, 0.3 * estimate, noisy).tolist() == expected
    assert loss(clean, -estimate, noisy).tolist() == expected
    assert loss(1e-3 * clean, 1e-3 * estimate, noisy).tolist() == expected
    assert loss(clean, 1e-5 * estimate, noisy).tolist() == expected, "a quieter estimate is no better one"


def test_the_weights_of_both_disturbances() -> None:
    clean, estimate, noisy = waves()
    symmetric, asymmetric = Perceptual().disturbances(clean, estimate)
    assert torch.allclose(Perceptual(symmetric=2.0, asymmetric=0.0)(clean, estimate, noisy), 2 * symmetric)
    assert torch.allclose(Perceptual()(clean, estimate, noisy), 0.1 * symmetric + 0.0309 * asymmetric)
    with pytest.raises(ValueError, match="weights"):
        Perceptual(symmetric=0.0, asymmetric=0.0)


# Corners


def corner(name: str) -> tuple[Tensor, Tensor]:
    clean, _, noisy = waves(dtype=torch.float32)
    hum = 0.9 * torch.sin(2 * torch.pi * 50 / RATE * torch.arange(RATE)).expand(2, -1)
    click = torch.nn.functional.pad(torch.ones(2, 1), (8000, 7999))
    return {
        "nothing at all": (0 * clean, 0 * clean),
        "a silent estimate": (clean, 0 * clean),
        "a perfect estimate": (clean, clean),
        "clipped": (clean, (20 * noisy).clamp(-1, 1)),
        "as quiet as -100 dBFS": (1e-4 * clean, 1e-4 * noisy),
        "a very quiet estimate": (clean, 1e-9 * noisy),
        "a very loud estimate": (clean, 1e6 * noisy),
        "hum for an estimate": (1e-4 * clean, hum),
        "a click for an estimate": (clean, click),
        "a click for a reference": (click, noisy),
        "speech that ends": (torch.cat([clean[:, :8000], 0 * clean[:, 8000:]], -1), noisy),
        "an estimate that ends": (clean, torch.cat([clean[:, :8000], 0 * clean[:, 8000:]], -1)),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "nothing at all", "a silent estimate", "a perfect estimate", "clipped", "as quiet as -100 dBFS",
        "a very quiet estimate", "a very loud estimate", "hum for an estimate", "a click for an estimate",
        "a click for a reference", "speech that ends", "an estimate that ends",
    ],
)  # fmt: skip
def test_loss_and_gradient_are_finite(name: str) -> None:
    loss, gradient = loss_and_gradient(*corner(name))
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient).all()
    assert (loss < 6).all()


def test_speech_at_100_dbfs_below_full_scale_still_teaches() -> None:
    _, gradient = loss_and_gradient(*corner("as quiet as -100 dBFS"))
    assert gradient.abs().amax(-1).gt(0).all()


def test_a_silent_item_adds_nothing_and_leaves_the_others_alone() -> None:
    clean, estimate, _ = waves(dtype=torch.float32)
    alone, its_gradient = loss_and_gradient(clean[1:], estimate[1:])
    clean[0] = 0
    loss, gradient = loss_and_gradient(clean, estimate)
    assert loss[0] == 0
    assert not gradient[0].any()
    assert loss[1].item() == pytest.approx(alone.item(), rel=1e-5)
    assert torch.allclose(gradient[1], its_gradient[0], rtol=1e-3, atol=1e-4 * its_gradient.abs().max().item())


def test_autocast_does_not_touch_it() -> None:
    clean, estimate, noisy = waves(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = Perceptual()(clean, estimate, noisy)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, Perceptual()(clean, estimate, noisy))
    half = Perceptual()(clean.bfloat16(), estimate.bfloat16(), noisy)
    assert half.dtype == torch.float32
    assert half.tolist() == pytest.approx(loss.tolist(), rel=0.05)


@pytest.mark.parametrize("samples", [16000, 16001, 16255, 20480])
def test_any_length_from_one_second_on(samples: int) -> None:
    clean, estimate, noisy = waves(samples)
    assert torch.isfinite(Perceptual()(clean, estimate, noisy)).all()


def test_shorter_sound_is_refused() -> None:
    clean, estimate, noisy = waves(15999)
    with pytest.raises(InputError, match=r"too short for the perceptual loss; expected at least 1 s; lengthen data"):
        Perceptual()(clean, estimate, noisy)


def test_other_rates_than_16_khz_are_refused() -> None:
    student = models.create("unet", width=4, depth=2, groups=1)
    student.sample_rate = 48000
    with pytest.raises(InputError, match=r"loss.perceptual: Perceptual is defined at 16000 Hz alone.*48000 Hz"):
        Objective({"perceptual": Perceptual()}, {}, student)
    output = Output("perceptual")
    with pytest.raises(InputError, match=r"distill.output: Perceptual is defined at 16000 Hz alone"):
        Objective({}, {"output": output}, student, Teacher(student))
