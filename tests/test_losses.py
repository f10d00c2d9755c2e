"""Losses against closed forms, and against a slow version: numpy, frame by frame, straight from the definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.noise import noise, precise
from sordino.audio.stft import stft
from sordino.conformance import losses as checks
from sordino.distill.methods.dispatch import Dispatch
from sordino.losses import L1, LOSSES, Compressed, MultiResolution, TimeFrequency, Weighted
from sordino.losses.waveform import RESOLUTIONS, spectral_norm

SHORT = ((32, 8, 24), (64, 12, 40), (16, 4, 16))
GRADIENTS = [L1(), MultiResolution(SHORT), Weighted(SHORT), TimeFrequency(resolution=SHORT[1][:2])]
every_loss = pytest.mark.parametrize("name", LOSSES)


def waves(samples: int = 3000, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    return checks.waves(samples, dtype)


# The slow version


def slow_spectra(wave: np.ndarray, fft: int, hop: int, window: int) -> np.ndarray:
    half, left = fft // 2, (fft - window) // 2
    hann = np.zeros(fft)
    for n in range(window):
        hann[left + n] = 0.5 * (1 - np.cos(2 * np.pi * n / window))
    mirrored = np.concatenate([wave[1 : half + 1][::-1], wave, wave[-half - 1 : -1][::-1]])
    frames = []
    for start in range(0, len(wave) + 1, hop):
        frames.append(np.fft.rfft(hann * mirrored[start : start + fft]))
    return np.array(frames)


def slow_magnitudes(wave: np.ndarray, fft: int, hop: int, window: int) -> np.ndarray:
    spectra = slow_spectra(wave, fft, hop, window)
    return np.sqrt(np.maximum(spectra.real**2 + spectra.imag**2, 1e-7))


def slow_multi_resolution(reference: np.ndarray, estimate: np.ndarray, resolutions: Any = RESOLUTIONS) -> float:
    convergences, distances = [], []
    for resolution in resolutions:
        a, b = slow_magnitudes(reference, *resolution), slow_magnitudes(estimate, *resolution)
        convergences.append(np.sqrt(np.sum((a - b) ** 2)) / np.sqrt(np.sum(a**2)))
        distances.append(np.mean(np.abs(np.log(a) - np.log(b))))
    return float(np.mean(np.abs(reference - estimate)) + 0.5 * np.mean(convergences) + 0.5 * np.mean(distances))


def slow_weighted(clean: np.ndarray, estimate: np.ndarray, noisy: np.ndarray) -> float:
    added = noisy - clean
    share = np.sum(clean**2) / (np.sum(clean**2) + np.sum(added**2) + 2e-7)
    of_speech, of_noise = slow_multi_resolution(clean, estimate), slow_multi_resolution(added, noisy - estimate)
    return share * of_speech + (1 - share) * of_noise


@pytest.mark.parametrize("samples", [1025, 3000, 3121])
def test_multi_resolution_is_its_slow_version(samples: int) -> None:
    clean, estimate, noisy = waves(samples)
    pairs = zip(clean.double().numpy(), estimate.double().numpy(), strict=True)
    slow = [slow_multi_resolution(*pair) for pair in pairs]
    assert MultiResolution()(clean, estimate, noisy).tolist() == pytest.approx(slow, abs=1e-5)


@pytest.mark.parametrize("samples", [1025, 3000, 3121])
def test_weighted_is_its_slow_version(samples: int) -> None:
    clean, estimate, noisy = waves(samples)
    slow = [slow_weighted(*item) for item in zip(*(w.double().numpy() for w in (clean, estimate, noisy)), strict=True)]
    assert Weighted()(clean, estimate, noisy).tolist() == pytest.approx(slow, abs=1e-5)


@pytest.mark.parametrize(("weight", "resolution"), [(0.6, (512, 256)), (0.7, (64, 12)), (0.2, (4000, 256))])
def test_time_frequency_is_its_slow_version(weight: float, resolution: tuple[int, int]) -> None:
    """Against a matrix of cosines and sines over all bins, frame by frame."""
    clean, estimate, noisy = waves(dtype=torch.float64)
    frame, hop = resolution
    angle = 2 * np.pi * np.outer(np.arange(frame), np.arange(frame)) / frame
    cosines, sines = np.cos(angle), np.sin(angle)
    slow = []
    for reference, guess in zip(clean.numpy(), estimate.numpy(), strict=True):
        errors = []
        for start in range(0, max(len(reference) - frame, 0) + hop, hop):
            magnitudes = []
            for wave in (reference, guess):
                part = np.zeros(frame)
                rest = wave[start : start + frame]
                part[: len(rest)] = rest
                part *= np.hamming(frame)
                magnitudes.append(np.abs(cosines @ part) + np.abs(sines @ part))
            errors.append(np.abs(magnitudes[0] - magnitudes[1]).mean())
        slow.append(weight * np.mean(errors) + (1 - weight) * np.mean((reference - guess) ** 2))
    assert TimeFrequency(weight, resolution)(clean, estimate, noisy).tolist() == pytest.approx(slow, rel=1e-9)


def test_time_frequency_is_by_default_what_the_authors_train_with() -> None:
    clean, estimate, noisy = waves(dtype=torch.float64)
    assert torch.equal(TimeFrequency()(clean, estimate, noisy), TimeFrequency(0.6, (512, 256))(clean, estimate, noisy))


def test_weighted_through_the_estimated_noise_itself_is_the_same() -> None:
    clean, estimate, noisy = waves(dtype=torch.float64)
    speech, added = clean.square().sum(-1), (noisy - clean).square().sum(-1)
    share = speech / (speech + added + 2e-7)
    distance = MultiResolution()
    explicit = share * distance(clean, estimate, noisy)
    explicit += (1 - share) * distance(noisy - clean, noisy - estimate, noisy)
    assert torch.allclose(Weighted()(clean, estimate, noisy), explicit, rtol=1e-9, atol=0)


# Closed forms


@every_loss
@pytest.mark.parametrize("check", checks.CHECKS)
def test_every_loss_holds_what_it_owes(name: str, check: str) -> None:
    checks.CHECKS[check](LOSSES[name])


@every_loss
def test_a_perfect_estimate_costs_nothing(name: str) -> None:
    clean, _, noisy = checks.waves()
    assert LOSSES[name]()(clean, clean, noisy).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (Compressed, {"resolution": (513, 128, 512)}),
        (Compressed, {"resolution": (512, 128, 1024)}),
        (Compressed, {"resolution": (512, 0, 512)}),
        (Weighted, {"resolutions": [(511, 64, 400)]}),
        (Weighted, {"resolutions": []}),
        (MultiResolution, {"spectral_weight": -1.0}),
        (TimeFrequency, {"spectral_weight": 3.0}),
        (TimeFrequency, {"resolution": (511, 256)}),
        (Dispatch, {"resolution": (513, 128, 512)}),
    ],
)
def test_arguments_that_no_spectrum_has_are_refused(loss: type[nn.Module], arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(arguments).rstrip("s")):  # one of the resolutions
        loss(**arguments)


def test_l1_of_a_known_difference() -> None:
    reference = torch.tensor([[0.0, 1.0, -1.0, 2.0]])
    estimate = torch.tensor([[0.5, 1.0, 1.0, 1.0]])
    assert L1()(reference, estimate, reference).item() == pytest.approx((0.5 + 0 + 2 + 1) / 4)


@pytest.mark.parametrize("gain", [0.5, 0.9, 2.0])
def test_a_scaled_reference_has_known_distances(gain: float) -> None:
    reference = precise(2, 3000)
    loss = MultiResolution()(reference, gain * reference, reference)
    level = (1 - gain) * reference.abs().mean(-1)
    expected = level.abs() + 0.5 * abs(1 - gain) + 0.5 * abs(np.log(gain))
    assert torch.allclose(loss, expected, rtol=1e-5)
    unweighted = MultiResolution(spectral_weight=0.0)(reference, gain * reference, reference)
    assert torch.allclose(unweighted, level.abs())


@pytest.mark.parametrize("loudness", [0.25, 1.0, 3.0])
def test_speech_and_noise_are_weighed_by_their_energy(loudness: float) -> None:
    """The noise is the speech, ``loudness`` times as strong, so that both distances are known in closed form."""
    clean, gain = precise(1, 3000), 0.9
    noisy = (1 + loudness) * clean
    share = 1 / (1 + loudness**2)
    noise_gain = (1 + loudness - gain) / loudness
    spectral = share * ((1 - gain) - np.log(gain)) + (1 - share) * ((noise_gain - 1) + np.log(noise_gain))
    expected = (1 - gain) * clean.abs().mean() + 0.5 * spectral
    assert Weighted()(clean, gain * clean, noisy).item() == pytest.approx(expected.item(), rel=1e-5)


def test_time_frequency_of_a_constant_and_of_the_wrong_sign() -> None:
    """The zeroth bin of a constant is the sum of the window; the sign of a signal leaves magnitudes be."""
    constant = torch.full((1, 640), 0.3, dtype=torch.float64)
    window = torch.hamming_window(64, periodic=False, dtype=torch.float64)
    spectral = TimeFrequency(1.0, (64, 32))
    spectrum = torch.fft.fft(window)
    expected = 0.1 * 0.3 * (spectrum.real.abs() + spectrum.imag.abs()).mean()
    assert spectral(constant, 0.9 * constant, constant).item() == pytest.approx(expected.item(), rel=1e-9)
    assert spectral(constant, -constant, constant).item() == pytest.approx(0, abs=1e-12)
    assert TimeFrequency()(constant, -constant, constant).item() == pytest.approx(0.4 * 4 * 0.3**2, rel=1e-9)


# Corners


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("perceptual", "si_sdr", "stoi", "llr")])
def test_noise_alone_teaches_silence_and_counts_like_any_item(name: str) -> None:
    """Descent shrinks what is left of the noise, and the gradient is not thousands of times that of speech in noise."""
    clean, _, noisy = waves(16000)
    clean[0], noisy[0] = 0, noisy[1] - clean[1]
    estimate = (0.5 * noisy).requires_grad_()
    loss = LOSSES[name]()(clean, estimate, noisy)
    assert torch.isfinite(loss).all()
    (gradient,) = torch.autograd.grad(loss.sum(), estimate)
    assert torch.isfinite(gradient).all()
    assert (gradient[0] * noisy[0]).sum() > 0
    norms = torch.linalg.vector_norm(gradient, dim=-1)
    assert norms[0] < 20 * norms[1]


@pytest.mark.parametrize("snr_db", [-19.0, 0.0, 40.0])
def test_the_floor_of_convergence_leaves_usual_items_alone(snr_db: float) -> None:
    clean, added = noise(2, 16000, seed=1), noise(2, 16000, seed=2)
    noisy = clean + 10 ** (-snr_db / 20) * added
    estimate = clean + 0.3 * added
    assert torch.equal(MultiResolution()(clean, estimate, noisy), MultiResolution()(clean, estimate, 0 * noisy))


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_the_norm_without_an_stft_is_about_that_of_the_stft(resolution: tuple[int, int, int]) -> None:
    wave = noise(2, 16000, seed=3)
    exact = torch.linalg.vector_norm(stft(wave, *resolution), dim=(1, 2))
    assert spectral_norm(wave, *resolution).tolist() == pytest.approx(exact.tolist(), rel=0.03)


@pytest.mark.parametrize("loss", GRADIENTS, ids=lambda loss: type(loss).__name__)
def test_gradients_are_those_of_finite_differences(loss: nn.Module) -> None:
    # Loud everywhere, so that no magnitude lies at the floor, where the gradient jumps.
    clean, estimate, noisy = (precise(2, 90, seed=seed) for seed in range(3))
    estimate.requires_grad_()
    assert torch.autograd.gradcheck(lambda guess: loss(clean, guess, noisy), (estimate,))
    # Output distillation differentiates by the estimate only, but nothing forbids a reference that learns.
    clean.requires_grad_()
    assert torch.autograd.gradcheck(lambda target: loss(target, estimate.detach(), noisy), (clean,))
