"""Networks of other projects in ONNX: recognised by their inputs, run hop by hop or as a whole, delay measured."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import sordino
from helpers.graphs import graph_file, held_back, lagging, spectral
from sordino.assets import SPEECH
from sordino.audio.sound_files import read_mono
from sordino.distill.teachers import ExternalTeacher
from sordino.errors import InputError
from sordino.inference.graphs import whole
from sordino.inference.graphs.deepfilternet import SAMPLE_RATE as FULL_BAND
from sordino.inference.graphs.deepfilternet import STFT as DEEP_FILTER_STFT
from sordino.inference.graphs.deepfilternet import band_widths
from sordino.inference.graphs.delay import measure_delay
from sordino.inference.graphs.engines import SpectrumEngine, WaveEngine
from sordino.inference.graphs.external import open_external
from sordino.inference.graphs.onnx_graph import Graph
from sordino.inference.graphs.presets import PRESETS
from sordino.inference.graphs.recognise import Signature, recognise
from sordino.inference.graphs.spectra import Frames
from sordino.inference.graphs.stft import Stft
from sordino.inference.model import open_model
from sordino.types import Batch

RATE = 16000


def enhanced(path: Path, stft: Stft | None = None) -> np.ndarray:
    speech = read_mono(SPEECH, RATE)
    return open_external(path, stft).run(speech)


@pytest.mark.parametrize("hop", [160, 256])
def test_the_delay_of_a_stream_is_measured_and_taken_off(tmp_path: Path, hop: int) -> None:
    path = held_back(tmp_path / "late.onnx", hop)
    opened = open_external(path)
    assert opened.signature == Signature("wave stream", length=hop, hop=hop)
    assert opened.delay.samples == hop
    assert f"delay {hop} samples" in opened.notes
    np.testing.assert_allclose(enhanced(path), read_mono(SPEECH, RATE), atol=1e-6)


@pytest.mark.parametrize(("n_fft", "hop", "window"), [(512, 256, "hann"), (512, 160, "hann"), (512, 128, "sqrt_hann")])
def test_a_network_of_spectra_that_changes_nothing_changes_nothing(
    tmp_path: Path, n_fft: int, hop: int, window: str
) -> None:
    path, stft = spectral(tmp_path / "frames.onnx"), Stft(n_fft, hop, window)
    assert open_external(path, stft).delay.samples == n_fft - hop
    np.testing.assert_allclose(enhanced(path, stft), read_mono(SPEECH, RATE), atol=1e-5)


@pytest.mark.parametrize("shape", [[1, "T"], ["B", "T"], ["B", 1, "T"]])
def test_a_graph_of_whole_recordings_is_compensated_too(tmp_path: Path, shape: list[int | str]) -> None:
    path, speech = lagging(tmp_path / "late.onnx", shape, 100), read_mono(SPEECH, RATE)
    opened = open_external(path)
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
    assert open_external(path).delay.samples == -100
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
        open_external(lagging(tmp_path / "fixed.onnx", [1, RATE // 2], 0))


def test_a_state_is_left_as_it_was_and_channels_keep_their_own(tmp_path: Path) -> None:
    for path, stft in ((held_back(tmp_path / "a.onnx", 256), None), (spectral(tmp_path / "b.onnx"), Stft(512, 256))):
        engine = open_external(path, stft, threads=2).engine
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
        open_external(held_back(tmp_path / "negative.onnx", 256, "Neg"))
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


def test_spectra_need_their_transform(tmp_path: Path) -> None:
    path = spectral(tmp_path / "frames.onnx")
    with pytest.raises(InputError, match=r"257 bins, and no transform is given; stft: .*preset"):
        open_external(path)
    with pytest.raises(InputError, match="n_fft 400 gives 201"):
        open_external(path, Stft(400, 100))


@pytest.mark.parametrize(
    ("inputs", "outputs", "kind"),
    [
        ([("x", [1, "T"])], [("y", [1, "T"])], "wave"),
        ([("x", ["B", 1, "T"])], [("y", ["B", 1, "T"])], "wave"),
        ([("x", [1, 16000])], [("y", [1, 16000])], "wave"),
        ([("x", [1, 257, "N", 2])], [("y", [1, 257, "N", 2])], "spectrum"),
        ([("x", [1, "N", 257, 2])], [("y", [1, "N", 257, 2])], "spectrum"),
        ([("x", [1, 2, "N", 257])], [("y", [1, 2, "N", 257])], "spectrum"),
        ([("x", [1, 2, 257, "N"])], [("y", [1, 2, 257, "N"])], "spectrum"),
        ([("x", [1, "N", 161])], [("y", [1, "N", 161])], "gains"),
    ],
)
def test_kinds_are_kept_apart(tmp_path: Path, inputs, outputs, kind: str) -> None:
    path = graph_file(tmp_path / "whole.onnx", [("Identity", ["x"], ["y"])], inputs, outputs)
    assert recognise(Graph(str(path))).kind == kind


@pytest.mark.parametrize("shape", [[1, 3, 8, 8], [1, 257, 63, 2], [257, "N", 2]])
def test_what_fits_nothing_is_described_with_what_would(tmp_path: Path, shape: list[int | str]) -> None:
    path = graph_file(tmp_path / "image.onnx", [("Identity", ["x"], ["y"])], [("x", shape)], [("y", shape)])
    with pytest.raises(InputError, match=r"takes x \[.* and gives y \[.*; expected samples \[1,T\] in and out"):
        recognise(Graph(str(path)))


@pytest.mark.parametrize(
    "shape", [[1, 257, 1, 2], [1, 1, 257, 2], [1, 2, 1, 257], [1, 2, 257, 1], [1, 257, 2], [1, 1, 160], [160]]
)
def test_a_stream_may_order_its_axes_in_any_way(tmp_path: Path, shape: list[int]) -> None:
    """The real parts of a frame come out alone, so parts and bins cannot be taken for each other."""
    nodes, values = [("Identity", ["x"], ["y"])], {}
    if 2 in shape:
        values["real"] = np.array([1, 0], np.float32).reshape([2 if axis == 2 else 1 for axis in shape])
        nodes = [("Mul", ["x", "real"], ["y"])]
    ports = [("x", shape), ("memory", [1, 4])], [("y", shape), ("after", [1, 4])]
    path = graph_file(tmp_path / "frame.onnx", [*nodes, ("Identity", ["memory"], ["after"])], *ports, values)
    signature, graph = recognise(Graph(str(path))), Graph(str(path))
    noisy = np.random.default_rng(0).standard_normal((1, 1600)).astype(np.float32)
    if signature.kind == "wave stream":
        engine = WaveEngine(graph, signature, "samples", RATE)
        np.testing.assert_array_equal(engine.step(noisy, engine.start(1))[0], noisy)
        return
    stft = Stft(512, 160)
    engine, frames = SpectrumEngine(graph, signature, stft, "frames", RATE), Frames(stft)
    hops = [frames.synthesise(np.real(frames.analyse(hop))) for hop in noisy.reshape(-1, 160)]
    np.testing.assert_allclose(engine.step(noisy, engine.start(1))[0][0], np.concatenate(hops), atol=1e-5)


@pytest.mark.parametrize("axes", [[1, 257, "N", 2], [1, "N", 257, 2], [1, 2, "N", 257], [1, 2, 257, "N"]])
def test_a_whole_spectrum_comes_back_as_samples(tmp_path: Path, axes: list[int | str]) -> None:
    path = graph_file(tmp_path / "whole.onnx", [("Identity", ["x"], ["y"])], [("x", axes)], [("y", axes)])
    graph, speech = Graph(str(path)), read_mono(SPEECH, RATE)[:30001]
    estimate = whole.run_spectrum(graph, recognise(graph), Stft(512, 128), speech)
    np.testing.assert_allclose(estimate, speech, atol=1e-5)


@pytest.mark.parametrize(
    ("n_fft", "hop", "window"), [(512, 160, "sqrt_hann"), (320, 200, "hamming"), (500, 499, "hamming")]
)
def test_a_frame_need_not_be_a_whole_number_of_hops(n_fft: int, hop: int, window: str) -> None:
    stft = Stft(n_fft, hop, window)
    for length in (1, hop, hop + 1, 4000):
        samples = np.random.default_rng(3).standard_normal(length)
        np.testing.assert_allclose(whole.synthesise(whole.analyse(samples, stft), stft, length), samples, atol=1e-6)


@pytest.mark.parametrize("length", [1, 255, 4000, 16001])
def test_frames_by_frames_are_those_of_the_whole(length: int) -> None:
    stft, samples = Stft(512, 256, "hamming"), np.random.default_rng(1).standard_normal(length)
    spectra, frames = whole.analyse(samples, stft), Frames(stft)
    padded = np.pad(samples, (0, len(spectra) * stft.hop - length))
    for number, spectrum in enumerate(spectra):
        np.testing.assert_allclose(frames.analyse(padded[number * 256 : (number + 1) * 256]), spectrum, atol=1e-9)
    np.testing.assert_allclose(whole.synthesise(spectra, stft, length), samples, atol=1e-6)


HOP, FRAME = [1, 160], [1, 257, 1, 2]


@pytest.mark.parametrize(
    ("inputs", "outputs", "places"),
    [
        ([("a", [1, 4, 8]), ("b", HOP)], [("p", [1, 4, 8]), ("d", HOP)], (1, 1)),  # by the shapes alone
        ([("a", [1, 4, 8]), ("b", FRAME)], [("d", FRAME), ("p", [1, 4, 8])], (1, 0)),
        ([("h", [1, 1, 64]), ("x", HOP)], [("hn", [1, 1, 64]), ("y", HOP)], (1, 1)),  # by the names
        ([("h0", [2, 1, 64]), ("c0", [2, 1, 64]), ("x", FRAME)], [("y", FRAME), ("h1", [2, 1, 64]), ("c1", [2, 1, 64])],
         (2, 0)),
        ([("cache", HOP), ("x", HOP)], [("y", HOP), ("cache_out", HOP)], (1, 0)),
        ([("cache", HOP), ("x", HOP)], [("after", HOP), ("y", HOP)], (1, 1)),  # as in, so out
        ([("x", HOP), ("more", [1, 64])], [("y", HOP), ("after", [1, 64])], (0, 0)),  # either: the first
        ([("chunk", HOP), ("buffer", HOP)], [("y", HOP), ("buffer_out", HOP)], (0, 0)),
    ],
)  # fmt: skip
def test_the_state_may_come_before_the_sound(tmp_path: Path, inputs, outputs, places: tuple[int, int]) -> None:
    """Every output is what has its shape, so that all of it runs."""
    left = list(inputs)
    nodes = []
    for name, shape in outputs:
        source = next(one for one in left if one[1] == shape)
        left.remove(source)
        nodes.append(("Identity", [source[0]], [name]))
    signature = recognise(Graph(str(graph_file(tmp_path / "stream.onnx", nodes, inputs, outputs))))
    assert signature.streams
    assert (signature.source, signature.target) == places


def test_a_stream_whose_state_comes_first_carries_it_on(tmp_path: Path) -> None:
    """The estimate is the hop before, which only the state knows."""
    speech, ports = read_mono(SPEECH, RATE), ([("cache", HOP), ("x", HOP)], [("after", HOP), ("y", HOP)])
    nodes = [("Identity", ["cache"], ["y"]), ("Identity", ["x"], ["after"])]
    path = graph_file(tmp_path / "late.onnx", nodes, *ports)
    opened = open_external(path)
    assert opened.delay.samples == 160
    np.testing.assert_allclose(enhanced(path), speech, atol=1e-6)
    np.testing.assert_allclose(sordino.enhance(speech, RATE, path), speech, atol=1e-6)


def test_a_stream_whose_sound_cannot_be_recognised_is_refused(tmp_path: Path) -> None:
    ports = [("a", HOP), ("b", [1, 64])], [("p", [1, 64]), ("d", HOP)]
    nodes = [("Identity", ["a"], ["d"]), ("Identity", ["b"], ["p"])]
    path = graph_file(tmp_path / "twins.onnx", nodes, *ports)
    with pytest.raises(InputError, match=r"Each state comes out again.*several inputs may be the noisy signal: export"):
        recognise(Graph(str(path)))


@pytest.mark.parametrize(("n_fft", "hop", "length"), [(1024, 480, 960), (512, 128, 401)])
def test_a_window_shorter_than_the_frame_lies_in_its_middle_as_that_of_torch(n_fft: int, hop: int, length: int) -> None:
    stft, samples = Stft(n_fft, hop, "hann", length), np.random.default_rng(2).standard_normal(10 * hop)
    spectra = whole.analyse(samples, stft)
    before = torch.nn.functional.pad(torch.from_numpy(samples), (n_fft - hop, n_fft))
    window = torch.hann_window(length, dtype=torch.float64)
    expected = torch.stft(before, n_fft, hop, length, window, center=False, return_complex=True).T.numpy()
    np.testing.assert_allclose(spectra, expected[: len(spectra)], atol=1e-9)
    np.testing.assert_allclose(whole.synthesise(spectra, stft, len(samples)), samples, atol=1e-6)


def test_transforms_that_lose_samples_are_refused() -> None:
    with pytest.raises(InputError, match="a hop of 600 with n_fft 512"):
        Stft(512, 600)
    with pytest.raises(InputError, match="that leave gaps"):
        Stft(512, 512, "hann")
    with pytest.raises(InputError, match="hop: True; expected a number of samples"):
        Stft(512, True)
    with pytest.raises(InputError, match="win_length: 513 with n_fft 512; expected 1 to n_fft samples"):
        Stft(512, 128, win_length=513)
    with pytest.raises(InputError, match="that leave gaps"):
        Stft(512, 256, "hann", 256)


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
    opened = open_external(shared / "peers" / file)
    assert opened.delay.samples == delay
    assert abs(opened.delay.gain_db) < 1


def test_a_preset_is_a_claim_that_the_file_is_held_to(shared: Path) -> None:
    """With another window than it was trained with, GTCRN changes speech more."""
    path = shared / "peers" / "gtcrn_simple.onnx"
    right = open_external(path).delay
    assert PRESETS["gtcrn"].stft == Stft(512, 256, "sqrt_hann")
    speech = read_mono(SPEECH, RATE)
    errors = {
        window: float(np.mean((enhanced(path, Stft(512, 256, window)) - speech) ** 2))
        for window in ("sqrt_hann", "rectangular")
    }
    assert errors["sqrt_hann"] < errors["rectangular"]
    assert right.samples == 256
