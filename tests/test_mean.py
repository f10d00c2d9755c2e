"""The mean of several models as a model of every command: its card, its estimate, its stream and what it teaches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sordino
from helpers.graphs import held_back, lagging, spectral
from helpers.networks import batch_of
from helpers.noise import white
from helpers.recipes import taught_by
from sordino.app.serve.models import served_models
from sordino.audio import sound_files
from sordino.cli.main import main
from sordino.distill.teachers import CachedTeacher, SeveralTeachers
from sordino.errors import InputError
from sordino.experiments.bench import bench
from sordino.experiments.recipe import read
from sordino.experiments.teacher import build_teacher
from sordino.experiments.teacher_remarks import notes
from sordino.inference.engine import open_engine
from sordino.inference.model import open_model
from sordino.inference.resolve import resolve
from sordino.plugins.modules import trust

RATE = 16000
STFT = {"n_fft": 512, "hop": 256}
HALF = "helpers.functions:halve"


@pytest.fixture(autouse=True)
def trusting(no_named_modules: None) -> None:
    """The functions of ``helpers.functions`` are trusted, as by ``--trust``."""
    trust("helpers.functions")


def card(folder: Path, members: Any, name: str = "both") -> str:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"mean": members}))
    return str(path)


@pytest.fixture
def both(tmp_path: Path) -> str:
    """A stream that is 256 samples late, and spectra that come out as they went in."""
    held_back(tmp_path / "late.onnx", 256)
    spectral(tmp_path / "frames.onnx")
    return card(tmp_path, ["late.onnx", {"onnx": "frames.onnx", "stft": STFT}])


def test_it_is_the_mean_of_estimates_at_the_same_samples(tmp_path: Path, both: str) -> None:
    lagging(tmp_path / "whole.onnx", ["B", "T"], 100)
    model = open_model(card(tmp_path, ["whole.onnx", HALF, "late.onnx"], "three"))
    assert (model.name, model.sample_rate, len(model.members)) == ("three", RATE, 3)
    for samples in (1, 999, 40_000):
        np.testing.assert_allclose(model(white(samples)), white(samples) * 2.5 / 3, atol=1e-6)
    stereo = np.stack([white(9000), -white(9000)])
    np.testing.assert_allclose(sordino.enhance(stereo, RATE, both), stereo, atol=1e-5)


def test_members_at_other_rates_are_resampled_to_the_lowest(tmp_path: Path) -> None:
    """A tone of 1 kHz passes through all of them."""
    lagging(tmp_path / "any.onnx", [1, "T"], 0)
    members = [{"onnx": "any.onnx", "sample_rate": 48000}, "any.onnx", {"callable": HALF, "sample_rate": 8000}]
    model = open_model(card(tmp_path, members))
    assert model.sample_rate == 8000
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)
    estimate = model(tone)
    assert estimate.shape == tone.shape
    np.testing.assert_allclose(estimate[1000:-1000], tone[1000:-1000] * 2.5 / 3, atol=2e-3)


def test_it_streams_where_its_members_do(tmp_path: Path, both: str) -> None:
    """Hops of 256 and 160 samples end at once after 1280; the earlier member waits for the later one."""
    held_back(tmp_path / "short.onnx", 160)
    mean = card(tmp_path, ["both.json", "short.onnx", {"mean": ["short.onnx", "late.onnx"]}], "nested")
    engine = open_engine(mean)
    assert (engine.name, engine.hop, engine.delay) == ("nested", 1280, 256)
    noisy = np.stack([white(20_000), -2 * white(20_000)])
    for model in (mean, open_model(mean)):
        streamer = sordino.Streamer(model, RATE, channels=2)
        parts = [streamer.feed(noisy[:, start : start + 999]) for start in range(0, 20_000, 999)]
        np.testing.assert_allclose(np.concatenate([*parts, streamer.flush()], axis=1), noisy, atol=1e-5)
    assert streamer.latency_s == (1280 + 256) / RATE
    _, before = engine.step(noisy[:, :1280], engine.start(2))
    first, _ = engine.step(noisy[:, :1280], before)
    again, _ = engine.step(noisy[:, :1280], before)
    np.testing.assert_array_equal(first, again)


def test_what_cannot_stream_together_says_why(tmp_path: Path, both: str) -> None:
    lagging(tmp_path / "whole.onnx", [1, "T"], 0)
    held_back(tmp_path / "odd.onnx", 441)
    held_back(tmp_path / "fast.onnx", 480)
    for members, message in (
        (
            ["late.onnx", "whole.onnx"],
            r"both: .*whole.*: cannot run block by block, as there is no whole\.stream\.onnx",
        ),
        (["late.onnx", HALF], rf"both: {HALF}: cannot run block by block"),
        (["late.onnx", "odd.onnx"], r"both: cannot .* hops of 256, 441 samples end together only every 7\.06 s"),
        (["late.onnx", {"onnx": "fast.onnx", "sample_rate": 48000}], r"its members work at 16000 and 48000 Hz"),
    ):
        mean = card(tmp_path, members)
        with pytest.raises(InputError, match=message) as caught:
            sordino.Streamer(mean)
        assert "\n" not in str(caught.value)
        assert open_model(mean).engine is None
        assert sordino.enhance(white(3000), RATE, mean).shape == (3000,)


def test_files_lie_beside_the_card(tmp_path: Path, both: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "late.onnx").write_bytes(b"no graph")
    monkeypatch.chdir(folder)
    named = card(tmp_path, ["late.onnx", "gtcrn:frames.onnx", "dualpath-24", "best.th", {"checkpoint": "unet-24"}], "n")
    (tmp_path / "best.th").touch()
    source = resolve(named)
    assert [one.kind for one in source.value] == ["onnx", "external", "shipped", "checkpoint", "shipped"]
    beside = [tmp_path / "late.onnx", tmp_path / "frames.onnx", tmp_path / "best.th"]
    assert set(beside) < set(source.files)
    with pytest.raises(InputError, match=r"no preset 'gtcrm'.*did you mean gtcrn"):
        resolve(card(tmp_path, ["gtcrm:frames.onnx", "late.onnx"], "wrong"))
    with pytest.raises(InputError, match=r"unet-25: no such model.*did you mean unet-24"):
        resolve(card(tmp_path, ["unet-25", "late.onnx"], "wrong"))
    with pytest.raises(InputError, match=rf"{tmp_path}/missing\.onnx: no such model"):
        resolve(card(tmp_path, ["missing.onnx", "late.onnx"], "wrong"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mean": "late.onnx"}, r"mean is 'late\.onnx'; expected a list of two or more models"),
        ({"mean": ["late.onnx"]}, r"expected a list of two or more models"),
        ({"mean": ["late.onnx", 3]}, r"mean: 3 is no model; expected one word, or one of onnx, preset, mean"),
        ({"mean": ["late.onnx", {"onnx": "late.onnx", "preset": "gtcrn"}]}, r"is no model; expected one word, or one"),
        ({"mean": ["late.onnx", {"onnx": "late.onnx", "sft": 1}]}, r"sft: no such key; .*did you mean stft\?"),
        ({"mean": ["late.onnx", {"callable": "half"}]}, r"callable is 'half'; expected package\.module:function"),
        ({"mean": ["late.onnx", {"callable": "a:b", "sample_rate": True}]}, r"sample_rate is True; expected a whole"),
        ({"mean": ["late.onnx", 5000 * "x"]}, r"x{200}"),
        ({"mean": ["late.onnx", {"checkpoint": 3}]}, r"checkpoint is 3; expected a text"),
        ({"mean": ["late.onnx", "late.onnx"], "sample_rate": 8000}, r"sample_rate: no such key; expected one of mean"),
        ({"mean": ["late.onnx", "wrong.json"]}, r"wrong\.json: is a mean of itself; expected other models"),
        ({"mean": ["late.onnx", "late.onnx"], "onnx": "late.onnx"}, r"no model card; expected onnx: FILE, or preset"),
        ({"best": ["late.onnx", "late.onnx"]}, r"best chooses by the clean speech.*sordino evaluate MODEL MODEL"),
        ({"mean": ["late.onnx", {"best": ["late.onnx"] * 2}]}, r"best chooses by .* DNSMOS.*expected mean: \[MODEL"),
    ],
)  # fmt: skip
def test_a_card_that_is_no_mean_is_reported_in_one_line(
    tmp_path: Path, both: str, values: Mapping[str, Any], message: str
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(values))
    for do in (resolve, lambda path: read(taught_by({"onnx": str(path)}))):
        with pytest.raises(InputError, match=message) as caught:
            do(path)
        assert "\n" not in str(caught.value)


def test_few_cards_do_not_become_billions_of_models(tmp_path: Path, both: str) -> None:
    for number in range(40):
        card(tmp_path, [f"{number - 1}.json" if number else "both.json"] * 2, str(number))
    with pytest.raises(InputError, match=r"/5\.json: is a mean of too many models; expected at most 64"):
        resolve(tmp_path / "39.json")


def test_a_card_runs_no_code_that_nobody_else_named(tmp_path: Path, both: str) -> None:
    (tmp_path / "strange.py").write_text("raise RuntimeError('imported')\n")
    mean = card(tmp_path, ["late.onnx", "strange:enhance"])
    for do in (resolve, open_model, lambda path: read(taught_by({"onnx": path}))):
        with pytest.raises(InputError, match=r"both\.json: names strange:enhance, which .*--trust strange"):
            do(mean)


def test_it_teaches_what_the_same_members_teach_in_a_recipe(tmp_path: Path, both: str) -> None:
    late, frames = str(tmp_path / "late.onnx"), {"onnx": str(tmp_path / "frames.onnx"), "stft": STFT}
    inline = {"mean": [late, frames, HALF]}
    by_card = {"onnx": card(tmp_path, ["late.onnx", {"onnx": "frames.onnx", "stft": STFT}, HALF], "three")}
    taught, batch = [build_teacher(read(taught_by(section)), RATE) for section in (inline, by_card)], batch_of()
    for teacher in taught:
        assert isinstance(teacher, SeveralTeachers)
        torch.testing.assert_close(teacher(batch).wave, batch.noisy * 2.5 / 3, atol=1e-5, rtol=0)
    assert notes(taught[0]) == notes(taught[1])
    assert ["delay 256 samples" in line for line in notes(taught[1])] == [True, True, False]
    noisy = batch.noisy[0].numpy()
    np.testing.assert_allclose(sordino.enhance(noisy, RATE, by_card["onnx"]), taught[1](batch).wave[0], atol=1e-5)  # type: ignore[misc]
    cached = [build_teacher(read(taught_by(one | {"cache": str(tmp_path / "c")})), RATE) for one in (inline, by_card)]
    facts = [one.facts for one in cached if isinstance(one, CachedTeacher)]
    assert facts[0] == facts[1]
    # Its models are the mean and its members, each of which a study scores.
    section = read(taught_by(by_card)).teacher
    assert section is not None
    whole = resolve(by_card["onnx"])
    assert [(one.kind, one.name) for one in section.models()] == [(one.kind, one.name) for one in (whole, *whole.value)]
    for wrong in ({"sample_rate": 8000}, {"stft": STFT}):
        with pytest.raises(InputError, match=r"the mean in .*three\.json"):
            read(taught_by(by_card | wrong))


def test_its_costs_are_the_sums(tmp_path: Path, both: str) -> None:
    size = sum((tmp_path / name).stat().st_size for name in ("late.onnx", "frames.onnx"))
    cost = bench(both, clocked=False)
    assert (cost.name, cost.parameters, cost.file_bytes, cost.flops_paper) == ("both", 0, size, None)
    nested = bench(card(tmp_path, ["dualpath-24", {"mean": ["unet-24", "dualpath-24"]}], "ours"), clocked=False)
    small, large = bench("dualpath-24", clocked=False), bench("unet-24", clocked=False)
    assert nested.parameters == 2 * small.parameters + large.parameters  # type: ignore[operator]
    assert nested.flops_paper == pytest.approx(2 * small.flops_paper + large.flops_paper)  # type: ignore[operator]
    assert bench(card(tmp_path, ["late.onnx", HALF]), clocked=False).parameters is None


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[str, str]:
    for kind, seed in (("noisy", 1), ("clean", 2)):
        wave = 0.1 * white(12_000, seed=2) + (0.1 * white(12_000, seed=seed) if kind == "noisy" else 0)
        sound_files.write(tmp_path / kind / "a.wav", wave, RATE, "FLOAT")
    return str(tmp_path / "noisy"), str(tmp_path / "clean")


def test_commands_take_it(
    tmp_path: Path, both: str, pairs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", *pairs, "--metrics", "si_sdr_db", "--workers", "0"]
    main(["evaluate", "noisy", both, *data, "--page", str(tmp_path / "page.html"), "--json"])
    noisy, mean = json.loads(capsys.readouterr().out)["rows"]
    assert mean["name"] == "both"
    assert mean["means"]["si_sdr_db"] == pytest.approx(noisy["means"]["si_sdr_db"], abs=1e-3)
    assert "both" in (tmp_path / "page.html").read_text("utf-8")
    main(["enhance", f"{pairs[0]}/a.wav", "-o", str(tmp_path / "out.wav"), "--model", both])
    capsys.readouterr()
    written, read_back = (sound_files.read_mono(path, RATE) for path in (f"{pairs[0]}/a.wav", tmp_path / "out.wav"))
    np.testing.assert_allclose(read_back, written, atol=1e-5)
    served = served_models([both])["both"]
    assert (served.parameters, served.latency_s) == (0, (256 + 256) / RATE)


def test_scores_say_what_a_member_was_trained_on(tmp_path: Path, both: str, pairs: tuple[str, str]) -> None:
    mean = card(tmp_path, ["late.onnx", {"mean": ["dualpath-24", "late.onnx"]}], "ours")
    alone = sordino.evaluate("dualpath-24", pairs, metrics=["si_sdr_db"], workers=0).metadata
    scores = sordino.evaluate(mean, pairs, metrics=["si_sdr_db"], workers=0)
    assert alone["perceptual"] is scores.metadata["perceptual"] is True
    assert scores.metadata["model"] == "ours"
