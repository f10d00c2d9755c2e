"""Putting a model to work: shapes, rates, types, windows, files and folders, and the student that ships."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sordino
from helpers.functions import same
from helpers.noise import tone, white
from sordino import models
from sordino.assets import shipped
from sordino.audio import sound_files
from sordino.errors import InputError
from sordino.inference.files import enhance_file
from sordino.inference.folders import enhance_folder
from sordino.inference.model import Model, open_model
from sordino.inference.windows import CONTEXT_S, WINDOW_S


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("length", [1, 77, 8001])
def test_shape_rate_and_content_are_kept(rate: int, length: int) -> None:
    noisy = np.stack([tone(1, rate)[:length], tone(1, rate, hertz=200)[:length]])
    estimate = sordino.enhance(noisy, rate, same)
    assert estimate.shape == noisy.shape
    assert estimate.dtype == noisy.dtype
    if length > 1000:  # the resampler rings at the ends
        assert np.abs(estimate - noisy)[:, 400:-400].max() < 2e-3


def test_mono_int16_and_float64() -> None:
    noisy = tone(0.5, 16000)
    assert np.array_equal(sordino.enhance(noisy, 16000, same), noisy)
    assert sordino.enhance(noisy.astype(np.float64), 16000, same).dtype == np.float64
    whole = (noisy * 32767).astype(np.int16)
    assert np.abs(sordino.enhance(whole, 16000, same).astype(int) - whole).max() <= 1
    swapped = sordino.enhance(whole.astype(">i2"), 16000, same)
    assert swapped.dtype == ">i2"
    assert np.array_equal(swapped, sordino.enhance(whole, 16000, same))
    loud = sordino.enhance(np.full(1000, 32767, np.int16), 16000, lambda wave: 2 * wave)
    assert loud.max() == 32767  # clipped at full scale, never wrapped around


@pytest.mark.parametrize("beyond", [-1, 0, 1, 16000, 16000 * 29, 16000 * 31])
def test_windows_leave_no_seam(beyond: int) -> None:
    length = round(WINDOW_S * 16000) + beyond
    noisy = tone(length / 16000, 16000)
    estimate = Model("same", 16000, same)(noisy)
    assert estimate.shape == noisy.shape
    assert np.abs(estimate - noisy).max() < 1e-6


def test_windows_are_no_longer_than_they_say() -> None:
    seen: list[int] = []

    def spy(noisy: np.ndarray) -> np.ndarray:
        seen.append(len(noisy))
        return noisy

    Model("spy", 16000, spy)(np.zeros(16000 * 95, np.float32))
    assert len(seen) == 4
    assert max(seen) == round(WINDOW_S * 16000)
    assert min(seen) > round(2 * CONTEXT_S * 16000)


@pytest.mark.parametrize(
    ("noisy", "rate", "message"),
    [
        (np.zeros((2, 2, 2)), 16000, "shape"),
        (np.zeros(0), 16000, "shape"),
        (np.array([0.0, np.nan]), 16000, "NaN"),
        (np.array(["a"]), 16000, "type"),
        (np.zeros(10), 0, "sample rate of 0 Hz"),
        (np.zeros(10), 1e9, "sample rate of 1000000000 Hz"),
        (np.zeros(10), 16000.5, "a whole number of Hz"),
        (np.zeros(10), None, "a whole number of Hz"),
        (np.zeros((32000, 2)), 16000, r"transpose \[samples, channels\]"),
        (np.zeros((32000, 1)), 16000, r"transpose \[samples, channels\]"),
        (np.full(10, 20000.0), 16000, "a peak of 20000.*divide samples that were 16-bit integers by 32768"),
        (np.full(10, 1e300), 16000, "a peak of 1e"),
        ([[0.0], [0.0, 0.0]], 16000, "a list that is no array"),
    ],
)
def test_what_is_no_audio_is_refused(noisy: Any, rate: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sordino.enhance(noisy, rate, same)


def test_rates_of_other_programs_and_tensors_are_taken_for_what_they_are() -> None:
    noisy = torch.linspace(-0.5, 0.5, 4800).requires_grad_()
    plain = sordino.enhance(noisy.detach().numpy(), 48000, same)
    for rate in (48000.0, "48000", np.int64(48000)):
        assert np.array_equal(sordino.enhance(noisy, rate, same), plain)


def test_nan_from_a_model_names_it_and_the_place() -> None:
    def broken(noisy: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(noisy)) < 8000, noisy, np.nan)

    with pytest.raises(InputError, match=r"broken.*NaN or infinite samples at 0\.50 s.*diverged"):
        sordino.enhance(np.zeros(16000), 16000, broken)


@pytest.mark.parametrize("kind", [np.int16, np.int32, bool, object])
def test_a_function_that_gives_no_floating_point_is_refused(kind: type) -> None:
    def whole(noisy: np.ndarray) -> np.ndarray:
        return (noisy * 32767).astype(kind)

    with pytest.raises(InputError, match=r"whole: gave values of type .*; expected samples, floating point with"):
        sordino.enhance(tone(0.1, 16000), 16000, whole)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
def test_a_function_may_give_a_tensor(kind: torch.dtype) -> None:
    def halved(noisy: np.ndarray) -> torch.Tensor:
        return (torch.from_numpy(noisy).requires_grad_() / 2).to(kind)

    noisy = tone(0.1, 16000)
    np.testing.assert_allclose(sordino.enhance(noisy, 16000, halved), noisy / 2, atol=2e-3)


def test_networks_checkpoints_and_functions_are_models(tmp_path: Path) -> None:
    network = models.create("manner-s", hidden=2, depth=3).eval()
    models.save(network, tmp_path / "student.safetensors")
    noisy = tone(0.3, 16000)
    by_network = sordino.enhance(noisy, 16000, network)
    assert np.array_equal(by_network, sordino.enhance(noisy, 16000, tmp_path / "student.safetensors"))
    assert np.array_equal(by_network, sordino.enhance(noisy, 16000, str(tmp_path / "student.safetensors")))
    assert open_model(network).name == "manner-s"
    with pytest.raises(InputError, match="a int; expected"):
        open_model(3)


def test_a_network_that_trains_goes_on_training() -> None:
    network = models.create("unet", width=4, depth=2, groups=1).train()
    network.encoder[0].eval()  # as a part that is frozen
    before = [module.training for module in network.modules()]
    sordino.enhance(white(8000, level=0.2), 16000, network)
    sordino.Streamer(network).feed(white(8000, level=0.2))
    assert [module.training for module in network.modules()] == before


def test_no_such_model_names_those_that_ship(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no such model.*{next(iter(shipped()))}"):
        open_model("nothing-like-it")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match="cannot be opened as an ONNX model"):
        open_model(tmp_path / "broken.onnx")


def test_the_default_student_ships_and_enhances() -> None:
    cards = shipped()
    name, card = next(iter(cards.items()))
    assert card["default"]
    assert [other for other in cards.values() if other["default"]] == [card]
    noisy = tone(1, 16000)
    estimate = sordino.enhance(noisy, 16000)
    assert estimate.shape == noisy.shape
    assert np.isfinite(estimate).all()
    assert np.array_equal(estimate, sordino.enhance(noisy, 16000, name))
    assert card["scores"]["model"]["pesq_wb"] > card["scores"]["noisy"]["pesq_wb"]


def test_the_default_student_improves_real_recordings(shared: Path) -> None:
    from sordino.metrics import si_sdr_db

    pairs = shared / "corpus" / "pairs" / "voicebank-demand-test"
    gains = []
    for path in sorted((pairs / "noisy").glob("*.flac"))[:6]:
        noisy, clean = (
            sound_files.read_mono(folder / path.name, 16000) for folder in (pairs / "noisy", pairs / "clean")
        )
        length = min(len(noisy), len(clean))
        estimate = sordino.enhance(noisy, 16000)
        gains.append(si_sdr_db(clean[:length], estimate[:length]) - si_sdr_db(clean[:length], noisy[:length]))
    assert np.mean(gains) > 0.5


def test_files_keep_rate_channels_length_and_sample_type(tmp_path: Path) -> None:
    stereo = np.stack([tone(0.7, 44100), tone(0.7, 44100, hertz=300)])
    sound_files.write(tmp_path / "in.wav", stereo, 44100, "PCM_24")
    report = enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", same)
    before, after = sound_files.info(tmp_path / "in.wav"), sound_files.info(tmp_path / "out.wav")
    assert before == after
    assert (report["channels"], report["sample_rate"], str(report["gain_db"])) == (2, 44100, "0.0"), "not -0.0"
    enhance_file(tmp_path / "in.wav", tmp_path / "out.flac", same)
    assert sound_files.info(tmp_path / "out.flac").length == before.length


def test_a_folder_goes_on_past_a_broken_file(tmp_path: Path) -> None:
    sound_files.write(tmp_path / "in" / "a.wav", tone(0.2, 16000), 16000)
    (tmp_path / "in" / "b.wav").write_text("these are words")
    sound_files.write(tmp_path / "in" / "deep" / "c.flac", tone(0.2, 8000), 8000)
    reports = list(enhance_folder(tmp_path / "in", tmp_path / "out", same))
    assert [Path(report["input"]).name for report in reports if "error" in report] == ["b.wav"]
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.wav", "deep/c.flac"]
    with pytest.raises(InputError, match="holds the recordings themselves"):
        next(enhance_folder(tmp_path / "in", tmp_path / "in", same))


def test_nothing_is_reported_to_anyone(tmp_path: Path) -> None:
    """onnxruntime's reporter, where it runs, keeps a file of its session in the folder for temporary files."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment = kept | {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    code = "import numpy, sordino; sordino.enhance(numpy.zeros(8000, 'float32'), 16000)"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=300)
    assert list(tmp_path.iterdir()) == []
