"""The measures of CSIG, CBAK and COVL against slow versions written frame by frame, and figures from outside."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz, toeplitz

from helpers.corpora import RATE
from helpers.real import MISSING, PAIRS
from helpers.speech import noisy_version, speechlike
from sordino.audio.sound_files import read_mono
from sordino.errors import InputError
from sordino.metrics import composite, measure
from sordino.metrics.composite import (
    BANDWIDTHS,
    CENTRES,
    log_likelihood_ratio,
    segmental_snr_db,
    weighted_spectral_slope,
)

REFERENCE = json.loads((Path(__file__).parent / "data" / "composite.json").read_text())


def slow_frames(signal: np.ndarray) -> list[np.ndarray]:
    window = np.array([0.5 * (1 - np.cos(2 * np.pi * n / 481)) for n in range(1, 481)])
    return [signal[120 * i : 120 * i + 480] * window for i in range(int(len(signal) / 120 - 4))]


def slow_trimmed_mean(values: list[float]) -> float:
    return float(np.mean(sorted(values)[: round(len(values) * 0.95)]))


def slow_llr(clean: np.ndarray, estimate: np.ndarray) -> float:
    """By solving the normal equations of each frame instead of by Levinson's recursion."""
    values = []
    for c, e in zip(slow_frames(clean), slow_frames(estimate), strict=True):
        r_c, r_e = (np.array([f[: 480 - k] @ f[k:] for k in range(17)]) for f in (c, e))
        if r_c[0] == 0 or r_e[0] == 0:
            values.append(0.0)
            continue
        a_c, a_e = (np.concatenate([[1], -solve_toeplitz(r[:16], r[1:])]) for r in (r_c, r_e))
        matrix = toeplitz(r_c)
        values.append(float(np.log((a_e @ matrix @ a_e) / (a_c @ matrix @ a_c))))
    return slow_trimmed_mean(values)


def slow_wss_weights(energy: np.ndarray) -> np.ndarray:
    slope, weights = np.diff(energy), []
    for i in range(24):
        n = i
        if slope[i] > 0:
            while n < 24 and slope[n] > 0:
                n += 1
            peak = energy[n - 1]
        else:
            while n >= 0 and slope[n] <= 0:
                n -= 1
            peak = energy[n + 1]
        weights.append(20 / (20 + energy.max() - energy[i]) * 1 / (1 + peak - energy[i]))
    return np.array(weights)


def slow_wss_gains(centre: float, bandwidth: float) -> np.ndarray:
    f0, bw = centre / 8000 * 512, bandwidth / 8000 * 512
    gains = np.exp([-11 * ((j - np.floor(f0)) / bw) ** 2 + np.log(70 / bandwidth) for j in range(512)])
    gains[gains <= np.exp(-30 / (2 * 2.303))] = 0
    return gains


def slow_wss(clean: np.ndarray, estimate: np.ndarray) -> float:
    gains = [slow_wss_gains(*band) for band in zip(CENTRES, BANDWIDTHS, strict=True)]
    values = []
    for pair in zip(slow_frames(clean), slow_frames(estimate), strict=True):
        energies = []
        for frame in pair:
            power = np.abs(np.fft.fft(frame, 1024)[:512]) ** 2
            energies.append(np.array([10 * np.log10(max(band @ power, 1e-10)) for band in gains]))
        weights = (slow_wss_weights(energies[0]) + slow_wss_weights(energies[1])) / 2
        difference = np.diff(energies[0]) - np.diff(energies[1])
        values.append(float(weights @ difference**2 / weights.sum()))
    return slow_trimmed_mean(values)


def slow_segsnr(clean: np.ndarray, estimate: np.ndarray) -> float:
    clean, estimate = clean - clean.mean(), estimate - estimate.mean()
    estimate = estimate * np.abs(clean).max() / np.abs(estimate).max()
    values = []
    for c, e in zip(slow_frames(clean), slow_frames(estimate), strict=True):
        ratio = 10 * np.log10(np.sum(c**2) / (np.sum((c - e) ** 2) + 1e-10) + 1e-10)
        values.append(min(max(ratio, -10), 35))
    return float(np.mean(values))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("fast", "slow"),
    [
        (log_likelihood_ratio, slow_llr),
        (weighted_spectral_slope, slow_wss),
        (segmental_snr_db, slow_segsnr),
    ],
)
def test_the_vectorised_measures_equal_the_definition(fast, slow, seed):
    clean = speechlike(0.7, seed)
    estimate = noisy_version(clean, 0.01, seed)
    estimate[3000:4000] = 0
    assert fast(clean, estimate) == pytest.approx(slow(clean, estimate), rel=1e-7)


def test_composite_agrees_with_figures_from_outside():
    if not PAIRS.is_dir():
        pytest.skip(MISSING)
    off = {"llr": [], "csig": [], "covl": []}
    for name, figures in REFERENCE.items():
        folder, stem = name.split("/")
        clean, noisy = (read_mono(PAIRS / folder / kind / f"{stem}.flac", RATE) for kind in ("clean", "noisy"))
        length = min(len(clean), len(noisy))
        found = composite(clean[:length], noisy[:length], RATE, pesq=figures["pesq_wb"])
        for key in ("cbak", "wss", "segsnr_db"):
            assert found[key] == pytest.approx(figures[key], abs=1e-3), (name, key)
        for key, differences in off.items():
            differences.append(abs(found[key] - figures[key]))
    # The figures' own LPC runs in float32.
    assert all(max(differences) < 0.01 and np.mean(differences) < 0.002 for differences in off.values())


def test_pesq_and_stoi_agree_with_figures_from_outside():
    if not PAIRS.is_dir():
        pytest.skip(MISSING)
    for stem in ("p232_002", "p257_432", "p232_021"):
        figures = REFERENCE[f"voicebank-demand-test/{stem}"]
        paths = [PAIRS / "voicebank-demand-test" / kind / f"{stem}.flac" for kind in ("clean", "noisy")]
        clean, noisy = (read_mono(path, RATE) for path in paths)
        found = measure(clean, noisy, RATE, ("pesq_wb", "stoi", "composite"), align="shorter").values
        for key in ("pesq_wb", "stoi", "csig", "cbak", "covl"):
            assert found[key] == pytest.approx(figures[key], abs=0.005), (stem, key)


def test_composite_is_limited_and_takes_a_known_pesq():
    clean = speechlike(1.0)
    perfect = composite(clean, clean, RATE, pesq=4.64)
    assert perfect["llr"] == pytest.approx(0, abs=1e-9)
    assert perfect["wss"] == pytest.approx(0, abs=1e-9)
    assert perfect["csig"] == perfect["cbak"] == perfect["covl"] == 5.0
    assert composite(clean, noisy_version(clean, 1.0), RATE, pesq=1.0)["covl"] == 1.0
    with pytest.raises(InputError, match="8000 Hz"):
        composite(clean, clean, 8000)


def test_long_recordings_are_measured_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = speechlike(1.0)
    estimate = noisy_version(clean)
    whole = composite(clean, estimate, pesq=2.0)
    monkeypatch.setattr(sys.modules["sordino.metrics.composite"], "AT_ONCE", 7)  # the package has the function
    assert composite(clean, estimate, pesq=2.0) == pytest.approx(whole)
