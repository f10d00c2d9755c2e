"""Metrics: closed forms, what each of them owes, and what cannot be measured."""

from __future__ import annotations

import operator
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from helpers.corpora import RATE
from helpers.speech import noisy_version, speechlike
from sordino import metrics
from sordino.conformance import metrics as checks
from sordino.conformance.base import Broken
from sordino.errors import InputError
from sordino.metrics import METRICS, Column, Metric, MetricFailure, measure, si_sdr_above_db, si_sdr_db, snr_db
from sordino.metrics.entry import entry_of


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


@pytest.mark.parametrize("check", checks.CHECKS)
@pytest.mark.parametrize("name", ["si_sdr_db", "si_sdr_120_db", "snr_db", "correlation"])
def test_every_quick_metric_holds_what_it_owes(name, check):
    checks.CHECKS[check](lambda: name)


def test_a_metric_without_a_value_fails_its_checks_in_words(monkeypatch):
    def never(clean, estimate, sample_rate):
        raise MetricFailure("never")

    monkeypatch.setitem(METRICS, "never", Metric(never, {"never": Column("Never")}))
    for check in (checks.measured, checks.prefers):
        with pytest.raises(Broken, match="has no value for speech in noise: never"):
            check(lambda: "never")


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


def test_int16_has_its_full_scale_beside_floats():
    clean = speechlike(0.5)
    estimate = np.round(noisy_version(clean) * 2**15).astype(np.int16)
    assert measure(clean, estimate, RATE, ["snr_db"]) == measure(clean, estimate / 2**15, RATE, ["snr_db"])
    with pytest.raises(InputError, match="estimate: values of type int32"):
        measure(clean, estimate.astype(np.int32), RATE, ["snr_db"])


def test_a_wrong_name_is_reported_with_the_right_one():
    with pytest.raises(InputError, match="did you mean pesq_wb"):
        metrics.check(["pesq-wb"])
    with pytest.raises(InputError, match="'composite'"):
        metrics.check(["csig"])
    with pytest.raises(InputError, match="none"):
        metrics.check([])
    assert metrics.check(["composite", "pesq_wb", "composite"]) == ("pesq_wb", "composite")


def broken(clean, estimate, sample_rate):
    return 1 / (sample_rate - RATE)


def test_what_a_metric_of_the_users_raises_is_one_line_that_names_it():
    with pytest.raises(InputError, match=r"test_metrics:broken: raised ZeroDivisionError \(line \d+ of") as raised:
        measure(speechlike(0.5), speechlike(0.5), RATE, [f"{__name__}:broken"])
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_importing_the_metrics_imports_nothing_heavy():
    code = "import sys, sordino.metrics; print([m for m in ('torch', 'pesq', 'pystoi', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_metric_may_be_any_callable_and_gives_one_value():
    def difference(clean, estimate, sample_rate):
        return float(np.abs(clean - estimate).mean())

    column = {"x": metrics.Column("X")}
    entry = entry_of("mine:PART", metrics.Metric(partial(difference, sample_rate=RATE), column))
    assert entry.function(np.zeros(8), np.ones(8)) == 1.0
    assert entry.release() == "", "a partial is in no file"
    entry = entry_of("mine:C", metrics.Metric(operator.length_hint, column))
    assert entry.release() == "", "nor is a function in C"
    for given in ({"a": 1.0, "b": 2.0}, {}):
        several = entry_of("mine:several", lambda *_, given=given: given)
        with pytest.raises(InputError, match=f"metric mine:several: gave {len(given)} values; expected one"):
            several.function(np.zeros(8), np.ones(8), RATE)


@pytest.mark.parametrize("value", [0.1, 0.5, 1e-6])
def test_a_constant_estimate_has_no_value(value):
    names = ("si_sdr_db", "si_sdr_120_db", "correlation", "composite")
    values, failures = measure(speechlike(1.0), np.full(RATE, value), RATE, names)
    assert values == {}
    assert set(failures) == set(names)


@pytest.mark.parametrize("gain", [0.3, 0.5, 0.7])
def test_a_scaled_copy_has_no_si_sdr_however_its_samples_round(gain: float) -> None:
    speech = np.random.default_rng(0).standard_normal(16000)
    with pytest.raises(MetricFailure, match="infinite"):
        si_sdr_db(speech, gain * speech)


def test_pesq_of_a_long_recording_is_not_that_of_the_pieces_that_were_left() -> None:
    speech = 0.1 * np.random.default_rng(0).standard_normal(40 * 16000)
    estimate = speech.copy()
    estimate[: 20 * 16000] *= 1e-30
    with pytest.raises(MetricFailure, match="as good as silent"):
        metrics.pesq_wb(speech, estimate, 16000)
