"""Metrics against closed forms, against slow versions written frame by frame, and against figures from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz, toeplitz

from sordino import metrics
from sordino.audio.sound_files import read_mono
from sordino.conformance import metrics as checks
from sordino.errors import InputError
from sordino.metrics import METRICS, MetricFailure, composite, measure, si_sdr_above_db, si_sdr_db, snr_db
from sordino.metrics.composite import (
    BANDWIDTHS,
    CENTRES,
    log_likelihood_ratio,
    segmental_snr_db,
    weighted_spectral_slope,
)

RATE = 16000
REFERENCE = json.loads((Path(__file__).parent / "data" / "composite.json").read_text())
PAIRS = Path(__file__).resolve().parents[2] / "shared" / "corpus" / "pairs"


def speechlike(seconds: float, seed: int = 0) -> np.ndarray:
    """A buzz through moving resonances, in syllables with pauses of digital silence."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    formant = 1500 + 800 * np.sin(2 * np.pi * 1.3 * time)
    buzz = sum(np.cos(k * phase) / (1 + ((k * 120 - formant) / 300) ** 2) for k in range(1, 50))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None)
    return 0.1 * syllables * (buzz + 0.05 * random.standard_normal(len(time)))


def noisy_version(clean: np.ndarray, level: float = 0.02, seed: int = 1) -> np.ndarray:
    return clean + level * np.random.default_rng(seed).standard_normal(len(clean))


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
        pytest.skip("needs the shared corpus beside the project")
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
        pytest.skip("needs the shared corpus beside the project")
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


def test_snr_of_a_scaled_copy_and_of_orthogonal_noise():
    time = np.arange(RATE) / RATE
    clean, noise = np.sin(2 * np.pi * 100 * time), np.sin(2 * np.pi * 300 * time)
    assert snr_db(clean, 0.9 * clean) == pytest.approx(20)
    assert snr_db(clean, clean + 0.1 * noise) == pytest.approx(20)
    assert si_sdr_db(clean, clean + 0.1 * noise) == pytest.approx(20)


@pytest.mark.parametrize("scale", [1e-3, 1.0, -7.0])
def test_si_sdr_ignores_scale_and_offset(scale):
    clean = speechlike(0.5)
    estimate = noisy_version(clean)
    assert si_sdr_db(clean, scale * estimate + 0.3) == pytest.approx(si_sdr_db(clean, estimate))


def test_si_sdr_above_120_hz_does_not_see_rumble():
    time = np.arange(RATE) / RATE
    clean, rumble = np.sin(2 * np.pi * 440 * time), np.sin(2 * np.pi * 50 * time)
    hiss = 0.1 * np.sin(2 * np.pi * 3000 * time)
    assert si_sdr_db(clean, clean + 10 * rumble + hiss) == pytest.approx(-20, abs=0.01)
    assert si_sdr_above_db(clean, clean + 10 * rumble + hiss, RATE) == pytest.approx(20)
    with pytest.raises(MetricFailure):
        si_sdr_above_db(clean, rumble, RATE, lowest_hz=9000)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_perfect_si_sdr_is_no_number(scale):
    clean = np.sin(np.arange(1000) * 2 * np.pi / 100)
    with pytest.raises(MetricFailure, match="infinite"):
        si_sdr_db(clean, scale * clean)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.needs_clean])
def test_every_metric_prefers_the_better_estimate(name):
    checks.prefers(lambda: name)


@pytest.mark.parametrize("check", checks.METRICS)
@pytest.mark.parametrize("name", ["si_sdr_db", "si_sdr_120_db", "snr_db", "correlation"])
def test_every_quick_metric_holds_what_it_owes(name, check):
    checks.METRICS[check](lambda: name)


def test_a_long_recording_has_the_mean_pesq_of_its_pieces():
    """Four minutes of short words with pauses, which the package alone does not survive."""
    words = np.concatenate([np.r_[speechlike(0.5, seed=n), np.zeros(RATE // 2)] for n in range(40)])
    clean, estimate = np.tile(words, 6), np.tile(noisy_version(words), 6)
    pieces = [metrics.pesq_wb(clean[at : at + 30 * RATE], estimate[at : at + 30 * RATE], RATE) for at in (0, 30 * RATE)]
    assert metrics.pesq_wb(clean[: 60 * RATE], estimate[: 60 * RATE], RATE) == pytest.approx(np.mean(pieces))
    assert 1 < metrics.pesq_wb(clean, estimate, RATE) < 4.6
    clean[30 * RATE : 60 * RATE] = estimate[30 * RATE : 60 * RATE] = 0  # a piece without speech does not count
    assert metrics.pesq_wb(clean[: 60 * RATE], estimate[: 60 * RATE], RATE) == pytest.approx(pieces[0])


def test_pesq_of_an_estimate_that_is_silent_in_a_piece_has_no_value():
    words = np.concatenate([np.r_[speechlike(0.5, seed=n), np.zeros(RATE // 2)] for n in range(40)])
    muted = words.copy()
    muted[20 * RATE :] = 0
    found = measure(words, muted, RATE, ("pesq_wb",))
    assert found.values == {}
    assert "silent where the clean speech is not" in found.failures["pesq_wb"]


def test_an_estimate_that_is_as_good_as_silent_has_no_pesq():
    clean = speechlike(2.0)
    found = measure(clean, 1e-30 * clean, RATE, ("pesq_wb",))
    assert found.values == {}
    assert found.failures["pesq_wb"].startswith("PESQ: ")


def test_pesq_modes_are_kept_apart():
    clean = speechlike(2.0)
    estimate = noisy_version(clean)
    values = measure(clean, estimate, RATE, ("pesq_wb", "pesq_nb")).values
    assert values["pesq_wb"] != pytest.approx(values["pesq_nb"], abs=0.1)
    assert metrics.pesq_wb(clean, clean, RATE) == pytest.approx(4.644, abs=0.001)
    assert metrics.pesq_nb(clean[::2], clean[::2], 8000) == pytest.approx(4.549, abs=0.001)
    assert metrics.describe("pesq_wb").startswith("pesq ")
    assert metrics.describe("pesq_wb").endswith(" wb")
    with pytest.raises(InputError, match="16000 Hz"):
        metrics.pesq_wb(clean[::2], clean[::2], 8000)


def test_stoi_of_a_perfect_estimate_is_one():
    clean = speechlike(2.0)
    assert metrics.stoi(clean, clean, RATE) == pytest.approx(1, abs=1e-6)
    assert metrics.estoi(clean, clean, RATE) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("clean", "estimate", "reason"),
    [
        (np.zeros(RATE), speechlike(1.0), "clean signal is silent"),
        (speechlike(1.0), np.zeros(RATE), "estimate signal is silent"),
        (speechlike(1.0), np.full(RATE, np.nan), "NaN"),
        (np.zeros(0), np.zeros(0), "empty"),
    ],
)
def test_what_cannot_be_measured_has_a_reason_and_no_value(clean, estimate, reason):
    values, failures = measure(clean, estimate, RATE)
    assert values == {}
    assert set(failures) == set(metrics.DEFAULT)
    assert all(reason in why for why in failures.values())


@pytest.mark.parametrize("length", [1, 100, 500, 900, 3000])
def test_too_short_a_recording_fails_metric_by_metric(length):
    clean = speechlike(1.0)[800 : 800 + length]
    values, failures = measure(clean, noisy_version(clean), RATE)
    assert {"pesq_wb", "stoi", "composite"} <= set(failures)
    assert ("si_sdr_db" in values) == (length > 1)
    assert all(np.isfinite(value) for value in values.values())


def test_different_lengths_are_refused_unless_asked_for():
    clean = speechlike(1.0)
    with pytest.raises(InputError, match="15900 samples beside 16000"):
        measure(clean, clean[:15900], RATE)
    estimate = noisy_version(clean)
    cut = measure(clean, estimate[:15900], RATE, ("snr_db",), align="shorter").values
    assert cut == measure(clean[:15900], estimate[:15900], RATE, ("snr_db",)).values
    with pytest.raises(InputError, match="one channel"):
        measure(clean[None], clean[None], RATE)


def test_a_wrong_name_is_reported_with_the_right_one():
    with pytest.raises(InputError, match="did you mean pesq_wb"):
        metrics.check(["pesq-wb"])
    with pytest.raises(InputError, match="'composite'"):
        metrics.check(["csig"])
    with pytest.raises(InputError, match="none"):
        metrics.check([])
    assert metrics.check(["composite", "pesq_wb", "composite"]) == ("pesq_wb", "composite")


def test_importing_the_metrics_imports_nothing_heavy():
    code = "import sys, sordino.metrics; print([m for m in ('torch', 'pesq', 'pystoi', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
