"""Networks of other projects in ONNX: run hop by hop or as a whole, their delay measured, and presets for some."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import sordino
from helpers.corpora import RATE
from helpers.graphs import enhanced, graph_file, held_back, lagging, spectral
from sordino.assets import SPEECH
from sordino.audio.sound_files import read_mono
from sordino.distill.teachers import ExternalTeacher
from sordino.errors import InputError
from sordino.inference.graphs.deepfilternet import SAMPLE_RATE as FULL_BAND
from sordino.inference.graphs.deepfilternet import STFT as DEEP_FILTER_STFT
from sordino.inference.graphs.deepfilternet import band_widths
from sordino.inference.graphs.delay import measure_delay
from sordino.inference.graphs.external import open_external
from sordino.inference.graphs.presets import PRESETS
from sordino.inference.graphs.recognise import Signature
from sordino.inference.graphs.source import GraphSource
from sordino.inference.graphs.stft import Stft
from sordino.inference.model import open_model
from sordino.types import Batch


@pytest.mark.parametrize("hop", [160, 256])
def test_the_delay_of_a_stream_is_measured_and_taken_off(tmp_path: Path, hop: int) -> None:
    path = held_back(tmp_path / "late.onnx", hop)
    opened = open_external(GraphSource(path))
    assert opened.signature == Signature("wave stream", length=hop, hop=hop)
    assert opened.delay.samples == hop
    assert f"delay {hop} samples" in opened.notes
    np.testing.assert_allclose(enhanced(path), read_mono(SPEECH, RATE), atol=1e-6)


@pytest.mark.parametrize(("n_fft", "hop", "window"), [(512, 256, "hann"), (512, 160, "hann"), (512, 128, "sqrt_hann")])
def test_a_network_of_spectra_that_changes_nothing_changes_nothing(
    tmp_path: Path, n_fft: int, hop: int, window: str
) -> None:
    path, stft = spectral(tmp_path / "frames.onnx"), Stft(n_fft, hop, window)
    assert open_external(GraphSource(path, stft=stft)).delay.samples == n_fft - hop
    np.testing.assert_allclose(enhanced(path, stft), read_mono(SPEECH, RATE), atol=1e-5)


@pytest.mark.parametrize("shape", [[1, "T"], ["B", "T"], ["B", 1, "T"]])
def test_a_graph_of_whole_recordings_is_compensated_too(tmp_path: Path, shape: list[int | str]) -> None:
    path, speech = lagging(tmp_path / "late.onnx", shape, 100), read_mono(SPEECH, RATE)
    opened = open_external(GraphSource(path))
    assert opened.engine is None
    assert opened.delay.samples == 100
    np.testing.assert_allclose(enhanced(path), speech, atol=1e-6)
    model = open_model(path)
    assert "delay 100 samples" in model.about["external"]
    assert (model.run_batch is not None) == (shape[0] == "B")
    both = np.stack([speech, 0.5 * speech[::-1]])
    np.testing.assert_allclose(sordino.enhance(both, RATE, model), both, atol=1e-6)


def test_an_estimate_that_is_early_is_compensated_too(tmp_path: Path) -> None:
    """As that of a network which leaves out the samples for which it has no past."""
    values = {"first": np.array([100]), "last": np.array([2**31]), "axis": np.array([1])}
    nodes = [("Slice", ["x", "first", "last", "axis"], ["y"])]
    path, speech = tmp_path / "early.onnx", read_mono(SPEECH, RATE)
    graph_file(path, nodes, [("x", [1, "T"])], [("y", [1, "U"])], values)
    assert open_external(GraphSource(path)).delay.samples == -100
    np.testing.assert_allclose(sordino.enhance(speech, RATE, path), speech, atol=1e-6)


def test_several_signals_of_one_length_are_one_pass_where_the_graph_takes_them(tmp_path: Path) -> None:
    """What is added to each signal is the number of signals in the pass."""
    nodes = [
        ("Shape", ["x"], ["shape"]), ("Gather", ["shape", "first"], ["count"]), ("Cast", ["count"], ["real"]),
        ("Mul", ["real", "little"], ["more"]), ("Add", ["x", "more"], ["y"]),
    ]  # fmt: skip
    values = {"first": np.array(0), "little": np.float32(1e-3)}
    path = graph_file(
        tmp_path / "count.onnx", nodes, [("x", ["B", "T"])], [("y", ["B", "T"])], values, {"Cast": {"to": 1}}
    )
    signals = np.zeros((3, 500), np.float32)
    np.testing.assert_allclose(sordino.enhance(signals, RATE, path), 3e-3, atol=1e-7)
    teacher = ExternalTeacher(partial(sordino.enhance, sample_rate=RATE, model=open_model(path)), "count", RATE, True)
    wave = teacher(Batch(torch.zeros(3, 500), None, torch.tensor([500] * 3))).wave
    torch.testing.assert_close(wave, torch.full((3, 500), 3e-3))


@pytest.mark.parametrize(("seconds", "delay"), [(2.0, 0), (2.0, 100), (0.7, 100)])
def test_a_graph_of_a_fixed_number_of_samples_runs_window_by_window(tmp_path: Path, seconds: float, delay: int) -> None:
    samples = round(seconds * RATE) + delay
    path, speech = lagging(tmp_path / "fixed.onnx", [1, samples], delay), read_mono(SPEECH, RATE)
    long = np.tile(speech, 3)
    for signal in (speech[:999], speech, long):
        np.testing.assert_allclose(sordino.enhance(signal, RATE, path), signal, atol=1e-6)


def test_a_short_graph_without_a_state_needs_what_a_delay_is_measured_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"takes 8000 samples at once and keeps no state; expected a state, or 10400"):
        open_external(GraphSource(lagging(tmp_path / "fixed.onnx", [1, RATE // 2], 0)))


def test_a_state_is_left_as_it_was_and_channels_keep_their_own(tmp_path: Path) -> None:
    for path, stft in ((held_back(tmp_path / "a.onnx", 256), None), (spectral(tmp_path / "b.onnx"), Stft(512, 256))):
        engine = open_external(GraphSource(path, stft=stft), threads=2).engine
        assert engine is not None
        block = np.stack([read_mono(SPEECH, RATE)[:2048], np.ones(2048, np.float32)])
        _, before = engine.step(block, engine.start(2))
        first, _ = engine.step(block, before)
        again, _ = engine.step(block, before)
        np.testing.assert_array_equal(first, again)
        alone, _ = engine.step(block[1:], engine.step(block[1:], engine.start(1))[1])
        np.testing.assert_array_equal(alone[0], first[1])


def test_what_cannot_be_compensated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="inverted polarity"):
        open_external(GraphSource(held_back(tmp_path / "negative.onnx", 256, "Neg")))
    speech = read_mono(SPEECH, RATE)
    with pytest.raises(InputError, match=r"level of clean speech by -20\.0 dB"):
        measure_delay(lambda noisy: 0.1 * noisy, RATE, "quiet")
    noise = np.random.default_rng(0).standard_normal(len(speech))
    with pytest.raises(InputError, match=r"does not resemble.*a delay of more than 150 ms is not looked for"):
        measure_delay(lambda noisy: noise, RATE, "noise")
    jumping = np.concatenate([speech[: RATE // 2], np.zeros(900), speech[RATE // 2 :]])[: len(speech)]
    with pytest.raises(InputError, match=r"lags by \d+ to \d+ samples; expected a constant delay"):
        measure_delay(lambda noisy: jumping, RATE, "jumping")


def test_enhance_and_streams_run_them(tmp_path: Path) -> None:
    path, speech = held_back(tmp_path / "late.onnx", 256), read_mono(SPEECH, RATE)
    np.testing.assert_allclose(sordino.enhance(speech, RATE, path), speech, atol=1e-6)
    streamer = sordino.Streamer(path, RATE)
    blocks = [streamer.feed(speech[start : start + 999]) for start in range(0, len(speech), 999)]
    np.testing.assert_allclose(np.concatenate([*blocks, streamer.flush()], axis=-1), speech, atol=1e-6)
    np.testing.assert_allclose(sordino.enhance(np.stack([speech, -speech]), RATE, path)[1], -speech, atol=1e-6)


def test_a_graph_of_samples_without_a_batch_runs(tmp_path: Path) -> None:
    speech = read_mono(SPEECH, RATE)
    nodes = [("Identity", ["x"], ["y"])]
    plain = graph_file(tmp_path / "plain.onnx", nodes, [("x", ["T"])], [("y", ["T"])])
    np.testing.assert_allclose(sordino.enhance(speech, RATE, plain), speech, atol=1e-6)


def test_bands_of_deepfilternet_hold_all_bins() -> None:
    widths = band_widths()
    assert len(widths) == 32
    assert widths.sum() == DEEP_FILTER_STFT.bins == 481
    assert widths.min() == 2
    assert FULL_BAND == 48000


@pytest.mark.parametrize(
    ("file", "delay"),
    [
        ("gtcrn_simple.onnx", 256),
        ("ulunas_stream_simple.onnx", 256),
        ("fastenhancer_t.onnx", 256),
        ("fastenhancer_t.spec.onnx", 256),
        ("fastenhancer_b.onnx", 256),
        ("fastenhancer_m.spec.onnx", 352),
        ("lisennet.spec.onnx", 256),
    ],
)
def test_public_networks_open_by_their_presets(shared: Path, file: str, delay: int) -> None:
    opened = open_external(GraphSource(shared / "peers" / file))
    assert opened.delay.samples == delay
    assert abs(opened.delay.gain_db) < 1


def test_a_preset_is_a_claim_that_the_file_is_held_to(shared: Path) -> None:
    """With another window than it was trained with, GTCRN changes speech more."""
    path = shared / "peers" / "gtcrn_simple.onnx"
    right = open_external(GraphSource(path)).delay
    assert PRESETS["gtcrn"].stft == Stft(512, 256, "sqrt_hann")
    speech = read_mono(SPEECH, RATE)
    errors = {
        window: float(np.mean((enhanced(path, Stft(512, 256, window)) - speech) ** 2))
        for window in ("sqrt_hann", "rectangular")
    }
    assert errors["sqrt_hann"] < errors["rectangular"]
    assert right.samples == 256
