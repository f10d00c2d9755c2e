"""Inputs of foreign ONNX graphs: axes in any order, states, windows and transforms, and what fits nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import sordino
from helpers.corpora import RATE
from helpers.graphs import enhanced, graph_file, spectral
from sordino.assets import SPEECH
from sordino.audio.sound_files import read_mono
from sordino.errors import InputError
from sordino.inference.graphs import whole
from sordino.inference.graphs.engines import SpectrumEngine, WaveEngine
from sordino.inference.graphs.external import open_external
from sordino.inference.graphs.onnx_graph import Graph
from sordino.inference.graphs.recognise import recognise
from sordino.inference.graphs.source import GraphSource
from sordino.inference.graphs.spectra import Frames
from sordino.inference.graphs.stft import Stft


def test_spectra_need_their_transform(tmp_path: Path) -> None:
    path = spectral(tmp_path / "frames.onnx")
    with pytest.raises(InputError, match=r"257 bins, and no transform is given; stft: .*preset"):
        open_external(GraphSource(path))
    with pytest.raises(InputError, match="n_fft 400 gives 201"):
        open_external(GraphSource(path, stft=Stft(400, 100)))


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
    opened = open_external(GraphSource(path))
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
