"""Teachers as a recipe names them: published networks, graphs with their transform, and several as one."""

from __future__ import annotations

import re
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.corpora import RATE
from helpers.graphs import held_back, spectral
from helpers.networks import batch_of
from helpers.noise import white
from helpers.recipes import built, taught_by
from sordino.distill.teachers import CachedTeacher, SeveralTeachers
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.bench import bench
from sordino.experiments.dry_run import dry_run
from sordino.experiments.recipe import read
from sordino.experiments.teacher import build_teacher
from sordino.experiments.teacher_cost import TeacherCost
from sordino.inference.graphs.presets import PRESETS, preset_of
from sordino.inference.graphs.source import GraphSource
from sordino.inference.model import open_model
from sordino.inference.resolve import resolve
from sordino.metrics import dnsmos
from sordino.types import Batch


def slow(noisy: np.ndarray) -> np.ndarray:
    time.sleep(0.05)
    return noisy


def facts(teacher: dict[str, Any], folder: Path) -> dict[str, Any]:
    cached = built(teacher | {"cache": str(folder)})
    assert isinstance(cached, CachedTeacher)
    return cached.facts


@pytest.mark.parametrize("kind", ["stft", "preset"])
def test_a_graph_of_spectra_teaches_by_its_transform_or_its_preset(tmp_path: Path, kind: str) -> None:
    path = str(spectral(tmp_path / "renamed.onnx"))
    section = (
        {"onnx": path, "stft": {"n_fft": 512, "hop": 128}} if kind == "stft" else {"preset": "gtcrn", "file": path}
    )
    batch = batch_of()
    torch.testing.assert_close(built(section)(batch).wave, batch.noisy, atol=1e-5, rtol=0)


def test_the_estimate_of_a_checkpoint_may_be_the_mean_of_others(tmp_path: Path) -> None:
    several = {"mean": ["helpers.functions:same", {"preset": "gtcrn", "file": str(spectral(tmp_path / "x.onnx"))}]}
    teacher, batch = built({"checkpoint": "unet-24", "estimate": several}), batch_of()
    assert teacher.taps
    torch.testing.assert_close(teacher(batch).wave, batch.noisy, atol=1e-5, rtol=0)


def test_the_mean_is_of_estimates_at_the_same_samples(tmp_path: Path) -> None:
    """One lags by 256 samples, which are taken off, one halves the level, one is a word."""
    late = str(held_back(tmp_path / "late.onnx", 256))
    teacher, batch = (
        built({"mean": [late, {"callable": "helpers.functions:halve"}, "helpers.functions:same"]}),
        batch_of(),
    )
    assert isinstance(teacher, SeveralTeachers)
    torch.testing.assert_close(teacher(batch).wave, batch.noisy * 2.5 / 3, atol=1e-5, rtol=0)


def test_the_best_is_chosen_by_the_measure() -> None:
    """SNR prefers what is nearer, SI-SDR does not see a gain and takes the first of equals."""
    noisy = torch.randn(2, 4800, generator=torch.Generator().manual_seed(0))
    batch = Batch(noisy, noisy + 1e-3, torch.tensor([4800, 4800]))
    members = ["helpers.functions:halve", "helpers.functions:same"]
    torch.testing.assert_close(built({"best": members, "measure": "snr_db"})(batch).wave, noisy)
    torch.testing.assert_close(built({"best": members})(batch).wave, 0.5 * noisy)
    # Of a measure that is small where the estimate is good, the least is taken.
    assert built({"best": members, "measure": "wss"})(batch).wave.shape == noisy.shape


def test_dnsmos_chooses_where_there_is_no_clean_speech(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if find_spec("speechmos") is None:
        pytest.skip("the network of DNSMOS comes with the package speechmos")
    batch = batch_of()
    estimates = [0.5 * batch.noisy, batch.noisy]
    teacher = built({"best": ["helpers.functions:halve", "helpers.functions:same"]})
    wave = teacher(Batch(batch.noisy, None, batch.lengths)).wave
    for item, length in enumerate(batch.lengths.tolist()):
        figures = [dnsmos(one[item, :length].numpy(), RATE)["dnsmos_ovrl"] for one in estimates]
        torch.testing.assert_close(wave[item], estimates[int(np.argmax(figures))][item])
    monkeypatch.setenv("SORDINO_DNSMOS", str(tmp_path / "missing.onnx"))
    unlabelled = taught_by(
        {"best": ["helpers.functions:halve", "helpers.functions:same"]}, unlabelled={"noisy": "recordings"}
    )
    with pytest.raises(InputError, match="no such file"):
        build_teacher(read(unlabelled), RATE)


def test_they_train_from_a_cache_that_knows_them_again(tmp_path: Path) -> None:
    late = str(held_back(tmp_path / "late.onnx", 256))
    frames = {"onnx": str(spectral(tmp_path / "frames.onnx")), "stft": {"n_fft": 512, "hop": 256}}
    teacher = {"mean": [late, frames], "cache": str(tmp_path / "answers"), "draws": 1}
    messages: list[str] = []
    run.train(taught_by(teacher), out=tmp_path / "first", status=messages.append)
    assert [line for line in messages if "delay 256 samples" in line and "frames.onnx: spectra of 257 bins" in line]
    assert [line for line in messages if "late.onnx: a stream of 256 samples at once" in line]
    kept = sorted((tmp_path / "answers").glob("??/*"))
    assert kept
    run.train(taught_by(teacher), out=tmp_path / "second")
    assert sorted((tmp_path / "answers").glob("??/*")) == kept
    other = teacher | {"mean": [late, frames | {"stft": {"n_fft": 512, "hop": 128}}]}
    with pytest.raises(InputError, match=r"teacher\.1\.stft was .*hop=256.* and is .*hop=128"):
        build_teacher(read(taught_by(other)), RATE)


def test_a_cache_tells_content_preset_and_measure_apart(tmp_path: Path) -> None:
    first, second, folder = spectral(tmp_path / "a.onnx"), spectral(tmp_path / "b.onnx", state=5), tmp_path / "answers"
    same = tmp_path / "elsewhere.onnx"
    same.write_bytes(first.read_bytes())
    named = [{"preset": "gtcrn", "file": str(one)} for one in (first, same, second)]
    one, again, other = (facts(section, folder) for section in named)
    assert one == again
    assert one != other
    assert one != facts({"preset": "ul-unas", "file": str(first)}, folder)
    best = [facts({"best": named[:2], "measure": name}, folder) for name in ("snr_db", "si_sdr_db")]
    assert best[0] != best[1] == facts({"best": named[:2]}, folder)
    with pytest.raises(InputError, match=r"missing\.onnx: no such file"):
        facts({"mean": [named[0], {"onnx": str(tmp_path / "missing.onnx")}]}, folder)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"preset": "gtcrm", "file": "x.onnx"}, r"teacher\.preset: no network 'gtcrm'.*did you mean gtcrn\?"),
        ({"preset": "ul-unas", "file": "x/gtcrn_simple.onnx"}, r"gtcrn_simple\.onnx is the name of a file of gtcrn;"),
        ({"preset": "gtcrn"}, r"teacher\.file: missing; expected a \.onnx file"),
        ({"preset": "deepfilternet3"}, r"teacher\.file: missing; expected the folder with enc\.onnx, erb"),
        ({"onnx": "x.onnx", "stft": {"nfft": 512, "hop": 256}}, r"stft\.nfft: no such key; did you mean n_fft\?"),
        ({"onnx": "x.onnx", "stft": {"n_fft": 8, "hop": 1, "window": "han"}}, r"stft\.window: 'han'.*mean hann\?"),
        ({"onnx": "x.onnx", "stft": {"n_fft": 512, "hop": 600}}, "a hop of 600 with n_fft 512"),
        ({"onnx": "x.onnx", "stft": 512}, r"teacher\.stft: 512 is no section; expected {n_fft"),
        ({"onnx": "x.onnx", "file": "y.onnx"}, r"teacher\.file: does not go with onnx; expected teacher\.preset"),
        ({"callable": "a:b", "stft": {"n_fft": 512, "hop": 256}}, r"teacher\.stft: does not go with callable"),
        ({"mean": ["unet-24"]}, r"teacher\.mean: .*expected a list of two or more teachers"),
        ({"mean": ["unet-24", {"chekpoint": "x"}]}, r"mean\.1\.chekpoint: no such key; did you mean checkpoint\?"),
        ({"mean": [{"chekpoint": "x"}, 3]}, r"mean\.0\.chekpoint: .*; mean\.1: 3 is no teacher"),
        ({"mean": ["unet-24", {"onnx": "x.onnx", "cache": "y"}]}, r"mean\.1\.cache: belongs to the whole"),
        ({"mean": ["a:b", "c:d"], "measure": "stoi"}, r"teacher\.measure: does not go with mean"),
        ({"best": ["a:b", "c:d"], "measure": "si_sdr"}, r"no measure 'si_sdr'.*did you mean si_sdr_db\?"),
        ({"best": ["a:b", "c:d"], "mean": ["a:b", "c:d"]}, "mean and best at once"),
        ({"mean": ["a:b", "c:d"], "sample_rate": 8000}, r"teacher\.sample_rate: a mean knows its own"),
        ({"checkpoint": "unet-24", "estimate": {"best": []}}, r"teacher: estimate: \[\]; expected a list of two"),
    ],
)  # fmt: skip
def test_mistakes_are_reported_in_one_line(section: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(taught_by(section))
    assert "\n" not in str(caught.value)


def test_one_word_names_a_published_network_everywhere(tmp_path: Path) -> None:
    path = spectral(tmp_path / "renamed.onnx")
    source = resolve(f"gtcrn:{path}")
    assert (source.kind, source.name, source.value) == ("external", "renamed", GraphSource(str(path), "gtcrn"))
    assert read(taught_by({"mean": [f"gtcrn:{path}", "unet-24"]})).teacher is not None
    # A function of a module that is called as a preset is stays one.
    assert resolve("gtcrn:enhance").kind == "import"
    folder = tmp_path / "export"
    folder.mkdir()
    for part in PRESETS["deepfilternet3"].parts:
        (folder / part).touch()
    assert resolve(folder).value.kind == preset_of(folder) == "deepfilternet3"
    (folder / "enc.onnx").unlink()
    with pytest.raises(InputError, match=r"has no enc\.onnx; expected a folder with enc\.onnx, erb_dec\.onnx"):
        open_model(f"deepfilternet3:{folder}")


def card(folder: Path, text: str) -> str:
    path = folder / "theirs.json"
    path.write_text(text)
    return str(path)


def test_a_card_says_how_to_run_a_graph(tmp_path: Path) -> None:
    spectral(tmp_path / "frames.onnx")
    text = '{"onnx": "frames.onnx", "stft": {"n_fft": 512, "hop": 128}, "sample_rate": 8000}'
    model = open_model(card(tmp_path, text))
    assert (model.name, model.sample_rate) == ("theirs", 8000)
    speech = white(9000)
    np.testing.assert_allclose(model(speech), speech, atol=1e-5)
    teacher = {"mean": [card(tmp_path, text), "helpers.functions:same"]}
    whole, *members = read(taught_by(teacher)).teacher.models()  # type: ignore[union-attr]
    assert whole.name == "mean of theirs and helpers.functions:same"
    assert [one.name for one in members] == ["theirs", "helpers.functions:same"]
    first = facts(teacher, tmp_path / "answers")
    card(tmp_path, text.replace("128", "256"))
    second = facts(teacher, tmp_path / "answers")
    assert {key for key in first if first[key] != second[key]} == {"teacher.0.stft"}
    assert bench(card(tmp_path, text), clocked=False).file_bytes == (tmp_path / "frames.onnx").stat().st_size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "no model card; expected onnx: FILE, or preset"),
        ('{"onnx": "x.onnx", "sft": {}}', r"sft: no such key; .*did you mean stft\?"),
        ('{"onnx": "x.onnx", "stft": {"n_fft": 512}}', r"stft\.hop: missing"),
        ('{"onnx": "x.onnx", "stft": {"n_fft": "512", "hop": 1}}', r"stft\.n_fft: '512'; expected a number of samples"),
        ('{"onnx": "x.onnx", "stft": {"n_fft": 512, "hop": true}}', r"stft\.hop: True; expected a number of samples"),
        ('{"onnx": "x.onnx", "sample_rate": "8k"}', "sample_rate: '8k' Hz"),
        ('{"preset": "gtcrm", "file": "x.onnx"}', r"preset: no network 'gtcrm'.*did you mean gtcrn\?"),
        ('{"preset": "gtcrn", "file": "x.onnx"}', r"x\.onnx: no such file"),
    ],
)
def test_a_card_that_is_none_is_reported(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_model(card(tmp_path, text))


def test_a_dry_run_tells_what_an_epoch_costs(tmp_path: Path) -> None:
    """Every answer of the teacher takes 0.05 s and more, read from a cache next to nothing."""
    found, line = dry_run(taught_by({"callable": f"{__name__}:slow"})).teacher
    assert found == f"{__name__}:slow: a function at 16000 Hz; delay 0 samples, gain +0.0 dB on speech"
    words = r"teacher: (.+) for a segment; an epoch of (\d+) costs (.+) live, (.+) once its answers are cached"
    found = re.fullmatch(words, line)
    assert found is not None, line
    each, live, cached = (seconds(found.group(place)) for place in (1, 3, 4))
    assert each >= 0.05
    assert live == pytest.approx(each * int(found.group(2)), rel=0.1)
    assert cached < live


def test_costs_are_reported_in_whole_numbers_and_two_digits() -> None:
    words = "teacher: 500 ms for a segment; an epoch of 110,000 costs 15 h live, 4.4 min once its answers are cached"
    assert TeacherCost(110_000, 0.5, 0.0024).describe() == words


def seconds(words: str) -> float:
    number, unit = words.split()
    return float(number) * {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}[unit]
