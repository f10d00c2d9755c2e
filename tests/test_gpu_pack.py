"""A pack for a GPU machine, what trains there against the clock, and the weights that come back."""

from __future__ import annotations

import json
import runpy
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from helpers.corpora import write_pairs
from sordino import models
from sordino.data.sources import Synthetic
from sordino.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
CLONE = (ROOT / ".git").exists()

RECIPE = """
data: {{name: pairs, noisy: {folder}/noisy, clean: {folder}/clean, segment_s: 0.5}}
model: {{name: unet, width: {width}, depth: 2, groups: 1}}
loss: {{compressed: {{}}}}
train: {{batch_size: 2, accelerator: cpu, threads: 1, workers: 0, validate_items: 1}}
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that runs a script of benchmarks and returns what it defines."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return lambda name: runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    Synthetic(segment_s=0.5).write(root)
    (root / "test").rename(root / "pairs")
    (root / "README.md").write_text("whose this is")
    return root


@pytest.mark.slow
@pytest.mark.skipif(not CLONE, reason="packs what git knows")
def test_the_pack_holds_code_and_corpus_and_is_small(script: Any, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    script("gpu_pack")["main"]([str(out), "--corpus", str(corpus), "--kbits", "24"])
    with tarfile.open(out / "pack.tar") as tar:
        names = tar.getnames()
    assert "code/src/sordino/__init__.py" in names
    assert "code/benchmarks/gpu_train.py" in names
    assert "corpus/README.md" in names
    assert not [name for name in names if "assets/models/" in name]
    first = next((corpus / "clean").rglob("*.flac"))
    packed = (out / "corpus" / first.relative_to(corpus)).with_suffix(".ogg")
    original, decoded = soundfile.read(first)[0], soundfile.read(packed)[0]
    assert soundfile.info(packed).subtype == "OPUS"
    assert packed.stat().st_size < 0.5 * first.stat().st_size
    assert len(decoded) == len(original)
    assert np.corrcoef(original, decoded)[0, 1] > 0.9
    pair = next((corpus / "pairs").rglob("*.flac"))
    assert (out / "corpus" / pair.relative_to(corpus)).read_bytes() == pair.read_bytes()


@pytest.mark.slow
def test_a_pack_above_its_limit_is_refused_and_so_is_half_a_corpus(script: Any, corpus: Path, tmp_path: Path) -> None:
    pack = script("gpu_pack")
    pack["pack_corpus"](corpus, tmp_path / "pack" / "corpus", 24.0, (), 1)
    with pytest.raises(InputError, match=r"corpus [\d.]+, pack.tar [\d.]+ MiB; expected at most 0.001"):
        pack["pack"](tmp_path / "pack", 0.001)
    assert not (tmp_path / "pack" / "pack.tar").exists()
    with pytest.raises(InputError, match="clean: there is no such folder"):
        pack["pack_corpus"](tmp_path, tmp_path / "other", 24.0, (), 1)


@pytest.mark.slow
def test_sources_can_be_left_out(script: Any, corpus: Path, tmp_path: Path) -> None:
    left = next(path for path in (corpus / "noise").rglob("*") if path.is_file())
    (corpus / "noise" / "no").mkdir()
    left.rename(corpus / "noise" / "no" / left.name)
    script("gpu_pack")["pack_corpus"](corpus, tmp_path / "out", 24.0, ("no",), 1)
    assert list((tmp_path / "out" / "noise").rglob("*.ogg"))
    assert not (tmp_path / "out" / "noise" / "no").exists()


def test_the_wheels_are_all_that_is_needed_but_torch(script: Any) -> None:
    found = script("gpu_pack")["closure"](["lightning-fabric", "tensorboard"])
    names = {one.partition("==")[0] for one in found}
    assert {"lightning-fabric", "lightning-utilities", "tensorboard", "protobuf"} <= names
    assert not {"torch", "numpy", "setuptools"} & names
    assert all(one.partition("==")[2] for one in found)


def test_weights_come_back_whole_from_halves_and_pieces(script: Any, tmp_path: Path) -> None:
    weights = script("gpu_weights")
    torch.manual_seed(0)
    network = models.create("manner-s", hidden=4, depth=3)
    state = network.state_dict()
    large = next(name for name in state if name.endswith("running_var"))
    state[large][0] = 1e6  # beyond float16
    models.save(network, tmp_path / "best.safetensors", step=7)
    files = weights["split"](tmp_path / "best.safetensors", tmp_path / "out" / "student", 10_000)
    pieces = files[1:]
    assert len(pieces) > 2
    assert max(piece.stat().st_size for piece in pieces) <= 10_000
    assert sum(piece.stat().st_size for piece in pieces) < 0.7 * (tmp_path / "best.safetensors").stat().st_size
    weights["main"](["join", str(files[0]), str(tmp_path / "again.safetensors")])
    assert models.read_header(tmp_path / "again.safetensors") == models.read_header(tmp_path / "best.safetensors")
    models.load(tmp_path / "again.safetensors")
    before, after = load_file(tmp_path / "best.safetensors"), load_file(tmp_path / "again.safetensors")
    assert after[large].equal(before[large])
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        assert torch.allclose(after[name].double(), value.double(), rtol=2**-11, atol=1e-7)
    pieces[1].write_bytes(b"else")
    with pytest.raises(InputError, match="checksum"):
        weights["join"](files[0], tmp_path / "bad.safetensors")
    pieces[1].unlink()
    with pytest.raises(InputError, match="is not beside it"):
        weights["join"](files[0], tmp_path / "bad.safetensors")
    assert not (tmp_path / "bad.safetensors").exists()


@pytest.mark.slow
def test_networks_train_side_by_side_until_the_deadline(script: Any, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs")
    for name, width in (("teacher", 6), ("student", 4)):
        (tmp_path / f"{name}.yaml").write_text(RECIPE.format(width=width, folder=tmp_path / "pairs"))
    (tmp_path / "base.yaml").write_text("train: {}")
    train = script("gpu_train")["train"]
    train.__globals__["MEASURED_S"] = 1.0  # so short are the steps
    began = time.monotonic()
    recipes = sorted(tmp_path.glob("*.yaml"))
    # A machine that others use may take a minute to start a process; else this takes some twenty seconds.
    report = train(recipes, tmp_path / "out", 6.0, 180.0, 20.0, ["train.batch_size=1"], most=9)
    assert time.monotonic() - began < 60 * 6.0
    assert set(report) == {"teacher", "student"}
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert not (tmp_path / "out" / "trial").exists()
    for name, width in (("teacher", 6), ("student", 4)):
        assert report[name]["steps"] == report[name]["planned"] == 9
        assert report[name]["valid"]["valid/pesq_wb"] > 1
        join = script("gpu_weights")["join"]
        join(tmp_path / "out" / f"{name}.json", tmp_path / f"{name}.safetensors")
        assert models.load(tmp_path / f"{name}.safetensors").arguments["width"] == width


@pytest.mark.slow
def test_what_is_late_is_stopped_before_the_deadline(script: Any, tmp_path: Path) -> None:
    """It is asked to stop, and ended where it does not."""
    write_pairs(tmp_path / "pairs")
    (tmp_path / "student.yaml").write_text(RECIPE.format(width=4, folder=tmp_path / "pairs"))
    began = time.monotonic()
    stopped = script("gpu_train")["run_until"]
    endless = {"student": ["train.steps=1000000"]}
    stopped(began + 8.0, 3.0, {"student": tmp_path / "student.yaml"}, tmp_path / "out", endless)
    assert 8.0 <= time.monotonic() - began < 20


def test_a_recipe_that_takes_no_step_in_the_trial_is_named(script: Any, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("data: {name: synthetic}\nmodel: {name: unett}\n")
    with pytest.raises(InputError, match=r"wrong: took no step in the trial: .*unett"):
        script("gpu_train")["train"]([tmp_path / "wrong.yaml"], tmp_path / "out", 1.0, 30.0, 5.0)


def test_the_recipes_for_a_gpu_are_valid() -> None:
    from sordino.experiments.recipe import read

    paths = [path for path in (ROOT / "benchmarks" / "gpu").glob("*.yaml") if path.stem != "base"]
    assert paths
    assert all(read(path).model for path in paths)


def test_make_has_the_target() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    assert "gpu-pack: install" in text
    done = subprocess.run(["make", "-n", "-C", str(ROOT), "gpu-pack"], capture_output=True, text=True)
    assert "benchmarks/gpu_pack.py" in done.stdout
