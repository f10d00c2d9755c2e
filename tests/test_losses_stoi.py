"""The differentiable STOI: against the pystoi package, and at its corners."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from helpers.noise import precise
from sordino import metrics
from sordino.losses import Stoi

RATE = 16000
extended = pytest.mark.parametrize("extended", [False, True])


def syllables(items: int = 1, seconds: float = 3.0, seed: int = 1) -> Tensor:
    """Noise that rises and falls as syllables do, with a pause of 0.5 s, [B,T]."""
    samples = int(seconds * RATE)
    envelope = 0.1 + 0.9 * torch.sin(torch.arange(samples) / 1200).abs()
    envelope[samples // 3 : samples // 3 + RATE // 2] = 1e-4
    return 0.1 * envelope * precise(items, samples, seed=seed)


def loss(clean: Tensor, estimate: Tensor, extended: bool = False) -> Tensor:
    return Stoi(extended)(clean, estimate, clean)


def measured(clean: Tensor, estimate: Tensor, extended: bool) -> float:
    name = "estoi" if extended else "stoi"
    return metrics.measure(clean.squeeze(0).numpy(), estimate.squeeze(0).numpy(), RATE, [name])[0][name]


# Figures from outside


@extended
def test_it_agrees_with_pystoi_on_real_pairs(shared: Path, extended: bool) -> None:
    differences = []
    for folder in ("voicebank-demand-test", "dns2020-no-reverb"):
        for path in sorted((shared / "corpus" / "pairs" / folder / "noisy").iterdir())[:4]:
            file = next((path.parents[1] / "clean").glob(f"{path.stem}.*"))
            clean, noisy = (torch.from_numpy(soundfile.read(one, dtype="float32")[0])[None] for one in (file, path))
            differences.append(1 - loss(clean, noisy, extended).item() - measured(clean, noisy, extended))
    assert len(differences) == 8
    assert np.mean(np.abs(differences)) < 0.002
    assert np.max(np.abs(differences)) < 0.01


@extended
@pytest.mark.parametrize("level", [0.003, 0.03, 0.3])
@pytest.mark.parametrize("seconds", [1.5, 2.01])
def test_it_agrees_with_pystoi_on_noise_in_syllables(extended: bool, level: float, seconds: float) -> None:
    clean = syllables(seconds=seconds)
    estimate = clean + level * precise(1, clean.shape[-1], seed=2)
    assert 1 - loss(clean, estimate, extended).item() == pytest.approx(measured(clean, estimate, extended), abs=0.01)


# Corners


@extended
def test_level_and_what_lies_between_words_do_not_count(extended: bool) -> None:
    clean = syllables()
    estimate = clean + 0.03 * precise(1, clean.shape[-1], seed=2)
    louder = loss(clean, 3 * estimate, extended)
    assert louder.item() == pytest.approx(loss(clean, estimate, extended).item(), abs=1e-4)
    pause = slice(clean.shape[-1] // 3 + 1000, clean.shape[-1] // 3 + RATE // 2 - 1000)
    disturbed = estimate.clone()
    disturbed[:, pause] += 0.1
    assert loss(clean, disturbed, extended).item() == pytest.approx(loss(clean, estimate, extended).item(), abs=0.01)


@extended
@pytest.mark.parametrize("seconds", [0.01, 0.2, 0.36])
def test_too_little_speech_costs_nothing_and_teaches_nothing(extended: bool, seconds: float) -> None:
    clean = torch.zeros(1, RATE, dtype=torch.float64)
    samples = int(seconds * RATE)
    clean[:, :samples] = precise(1, samples)
    estimate = (0.5 * precise(1, RATE, seed=2)).requires_grad_()
    value = loss(clean, estimate, extended)
    value.sum().backward()
    assert value.item() == 0
    assert estimate.grad is not None
    assert not estimate.grad.any()


def test_a_band_without_speech_teaches_nothing() -> None:
    """Speech below 1 kHz: the estimate may have anything above 5 kHz, and little of what lies between counts."""
    clean = syllables()
    spectrum = torch.fft.rfft(clean)
    spectrum[:, spectrum.shape[-1] // 8 :] = 0
    clean = torch.fft.irfft(spectrum, clean.shape[-1])
    estimate = clean + 1e-4 * precise(1, clean.shape[-1], seed=2)
    assert loss(clean, estimate).item() < 0.1
    assert 1 - measured(clean, estimate, extended=False) > 0.3


@extended
def test_descent_raises_what_pystoi_measures(extended: bool) -> None:
    clean = syllables()
    estimate = clean + 0.1 * precise(1, clean.shape[-1], seed=2)
    before, guess = measured(clean, estimate, extended), estimate.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(clean, guess, extended).sum(), guess)
    step = 0.1 * guess.detach().norm() * gradient / gradient.norm()
    assert measured(clean, (guess - step).detach(), extended) > before + 0.01
