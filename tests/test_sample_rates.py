"""Networks at 8, 24 and 48 kHz: made, streamed, trained, validated, exported and run at their own rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sordino
from helpers.noise import noise
from sordino import metrics, models
from sordino.conformance.networks import streamed
from sordino.errors import InputError
from sordino.experiments import run
from sordino.models.base import StreamingEnhancer
from sordino.training.selection import Selection

RATES = (8000, 24000, 48000)
NETWORKS: dict[str, dict[str, Any]] = {"unet": {"width": 8, "depth": 4}, "dualpath": {"width": 4, "blocks": 1}}
every_network = pytest.mark.parametrize("name", NETWORKS)
every_rate = pytest.mark.parametrize("rate", RATES)


def network(name: str, rate: int) -> StreamingEnhancer:
    torch.manual_seed(0)
    made = models.create(name, **NETWORKS[name], sample_rate=rate)
    assert isinstance(made, StreamingEnhancer)
    return made.eval()


@every_network
@every_rate
def test_latency_is_the_same_in_seconds(name: str, rate: int) -> None:
    made, usual = network(name, rate), network(name, 16000)
    assert made.sample_rate == rate
    assert made.latency_s == usual.latency_s
    assert made.hop / rate == usual.hop / 16000


@every_network
@every_rate
def test_block_by_block_it_gives_what_it_gives_as_a_whole(name: str, rate: int) -> None:
    made, wave = network(name, rate), noise(1, rate // 2, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(streamed(made, wave, 3), made(wave), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rate", [0, 4000, 96000])
@every_network
def test_rates_without_sense_are_refused(name: str, rate: int) -> None:
    with pytest.raises(ValueError, match=f"8000 to 48000 Hz, not {rate}"):
        network(name, rate)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        pytest.param("dualpath", 48000, marks=pytest.mark.slow),
        pytest.param("unet", 48000, marks=pytest.mark.slow),
        pytest.param("dualpath", 8000, marks=pytest.mark.slow),
    ],
)
def test_trained_exported_and_run_at_their_own_rate(name: str, rate: int, tmp_path: Path) -> None:
    recipe = {
        "out": str(tmp_path / "run"),
        "data": {"name": "synthetic", "segment_s": 0.5, "sample_rate": rate, "valid_items": 2},
        "model": {"name": name, **NETWORKS[name], "sample_rate": rate},
        "loss": {"compressed": {}},
        "train": {"steps": 2, "batch_size": 2, "validate_every": 2, "log": []},
    }
    best = sordino.train(recipe).checkpoint
    header = models.read_header(best)
    assert header["sample_rate"] == rate
    assert ("pesq_nb" if rate == 8000 else "pesq_wb") in header["about"]["valid"]
    run.export(best, tmp_path / "student.onnx")
    wave = noise(1, rate, seed=2)[0].numpy()
    whole = sordino.enhance(wave, rate, model=tmp_path / "student.onnx")
    with torch.no_grad():
        direct = models.load(best).eval()(torch.from_numpy(wave)[None])[0].numpy()
    np.testing.assert_allclose(whole, direct, atol=1e-4)
    stream = sordino.Streamer(model=tmp_path / "student.onnx", sample_rate=rate)
    blocks = [stream.feed(part) for part in np.array_split(wave, 7)]
    blocks.append(stream.flush())
    np.testing.assert_allclose(np.concatenate(blocks)[-len(wave) :], whole, atol=1e-4)


def test_metrics_measure_what_they_are_defined_for() -> None:
    """48 kHz: PESQ takes the band below 8 kHz, so that noise above it does not count; 8 kHz: narrow-band PESQ alone."""
    rng = np.random.default_rng(0)
    envelope = np.abs(np.sin(np.arange(3 * 48000) / 4000))
    clean = 0.1 * envelope * rng.standard_normal(3 * 48000)
    spectrum = np.fft.rfft(0.1 * rng.standard_normal(3 * 48000))
    spectrum[: 9000 * 3] = 0
    hiss = np.fft.irfft(spectrum)
    names = ["pesq_wb", "estoi"]
    found = metrics.measure(clean, clean + hiss, 48000, names).values
    assert found["pesq_wb"] > 4.5
    assert metrics.measure(clean, clean + hiss, 48000, ["si_sdr_db"]).values["si_sdr_db"] < 20
    with pytest.raises(InputError, match="16000 Hz"):
        metrics.measure(clean, clean, 8000, ["pesq_wb"])


def test_a_checkpoint_is_chosen_by_what_is_defined_at_its_rate() -> None:
    assert Selection(None, 8000).weights.keys() == {"pesq_nb", "estoi", "si_sdr_db"}
    assert Selection(None, 48000).weights.keys() == {"pesq_wb", "estoi", "si_sdr_db"}
    with pytest.raises(InputError, match="composite is defined at 16000 Hz"):
        Selection("covl", 8000)
