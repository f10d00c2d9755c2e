"""The differentiable log-likelihood ratio: against the metric, and at its corners."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from helpers.noise import precise
from sordino.audio.filters import apply_filters, high_shelf
from sordino.losses import Llr, llr
from sordino.metrics.composite import log_likelihood_ratio

RATE = 16000


def loss(clean: Tensor, estimate: Tensor) -> Tensor:
    return Llr()(clean, estimate, clean)


def speech_like(seconds: float = 2.0, seed: int = 1) -> Tensor:
    """Noise with a spectrum that falls, louder and quieter as syllables are, [1,T]."""
    samples = int(seconds * RATE)
    steep = torch.cumsum(precise(1, samples, seed=seed), -1)
    envelope = 0.05 + torch.sin(torch.arange(samples) / 1200).abs()
    return 0.1 * envelope * (steep - steep.mean())


def test_it_agrees_with_the_metric_on_real_pairs(shared: Path) -> None:
    differences = []
    for folder in ("voicebank-demand-test", "dns2020-no-reverb"):
        for path in sorted((shared / "corpus" / "pairs" / folder / "noisy").iterdir())[:8]:
            file = next((path.parents[1] / "clean").glob(f"{path.stem}.*"))
            clean, noisy = (np.asarray(soundfile.read(one)[0], np.float64) for one in (file, path))
            computed = loss(torch.from_numpy(clean)[None], torch.from_numpy(noisy)[None]).item()
            differences.append(computed - log_likelihood_ratio(clean, noisy))
    assert len(differences) == 12
    assert np.mean(np.abs(differences)) < 0.02
    assert np.max(np.abs(differences)) < 0.1


@pytest.mark.parametrize("level", [0.001, 0.01, 0.1])
def test_it_agrees_with_the_metric_on_noise(level: float) -> None:
    clean = speech_like()
    estimate = clean + level * precise(1, clean.shape[-1], seed=2)
    measured = log_likelihood_ratio(clean.squeeze(0).numpy(), estimate.squeeze(0).numpy())
    assert loss(clean, estimate).item() == pytest.approx(measured, rel=0.05, abs=0.01)


def test_level_does_not_count_and_lost_high_frequencies_do() -> None:
    clean = speech_like()
    assert loss(clean, 0.3 * clean).item() < 1e-3
    dull = torch.from_numpy(apply_filters(clean.squeeze(0).numpy(), high_shelf(2000, -20, RATE)))[None]
    lost = (dull - clean).square().mean() / clean.square().mean()
    assert lost < 0.01, "the high frequencies hold little of the energy"
    assert loss(clean, dull).item() > 0.2


def test_a_value_without_gradient_first_does_not_hinder_training() -> None:
    clean = speech_like()
    llr.constants.cache_clear()
    with torch.inference_mode():
        loss(clean, clean + 0.1)
    estimate = (clean + 0.1 * precise(1, clean.shape[-1], seed=2)).requires_grad_()
    loss(clean, estimate).sum().backward()
    assert estimate.grad is not None


@pytest.mark.parametrize("samples", [100, 480, 1000])
def test_short_sound_has_a_value(samples: int) -> None:
    clean = precise(1, samples)
    assert loss(clean, clean).item() == pytest.approx(0, abs=1e-9)
    assert loss(clean, clean + 0.5 * precise(1, samples, seed=2)).item() > 0


@pytest.mark.parametrize("residual", [1e-1, 1e-3, 1e-5])
def test_digital_silence_between_words_teaches_nothing(residual: float) -> None:
    clean, pause = speech_like(), slice(8000, 20000)
    clean[:, pause] = 0
    estimate = (clean + residual * speech_like(seed=2)).requires_grad_()
    value = loss(clean, estimate)
    (gradient,) = torch.autograd.grad(value.sum(), estimate)
    inner = slice(pause.start + 480, pause.stop - 480)
    assert not gradient[:, inner].any()
    assert gradient[:, : pause.start].any()
    measured = log_likelihood_ratio(clean.squeeze(0).numpy(), estimate.detach().squeeze(0).numpy())
    assert value.item() == pytest.approx(measured, rel=0.2, abs=0.01)


def test_silence_in_the_reference_teaches_nothing_and_in_the_estimate_something_finite() -> None:
    clean, estimate = speech_like(), speech_like(seed=2).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(0 * clean, estimate).sum(), estimate)
    assert not gradient.any()
    silent = torch.zeros_like(clean, requires_grad=True)
    value = loss(clean, silent)
    (gradient,) = torch.autograd.grad(value.sum(), silent)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()


def test_descent_lowers_what_the_metric_measures() -> None:
    clean = speech_like()
    estimate = clean + 0.2 * precise(1, clean.shape[-1], seed=2)

    def measured(wave: Tensor) -> float:
        return log_likelihood_ratio(clean.squeeze(0).numpy(), wave.squeeze(0).numpy())

    guess = estimate.clone().requires_grad_()
    value = loss(clean, guess)
    (gradient,) = torch.autograd.grad(value.sum(), guess)
    # Along a straight line the loss would fall by a fifth.
    step = 0.2 * value.detach() * gradient / gradient.square().sum()
    assert measured((guess - step).detach()) < 0.9 * measured(estimate)
