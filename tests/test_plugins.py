"""Names of code that is not sordino's: where it is found, what is refused, and what installed packages add."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sordino import models
from sordino.data import sources
from sordino.distill.methods import METHODS
from sordino.errors import InputError
from sordino.experiments.recipe import read
from sordino.experiments.signatures import inspected, named
from sordino.metrics import METRICS, measure, metric
from sordino.plugins import catalogue, modules
from sordino.training.selection import Selection

HALF = """
from sordino.models import Enhancer
from torch import Tensor, nn
import torch


class Half(Enhancer):
    def __init__(self, gain: float = 0.5, kind: str | None = None) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, noisy: Tensor) -> Tensor:
        return self.gain * noisy


class Quarter(Half):
    pass


def small(gain: float = 0.25) -> Enhancer:
    return Half(gain)
"""


@pytest.fixture
def folder(own_code: Path) -> Path:
    (own_code / "halves.py").write_text(HALF)
    return own_code


def write(path: Path, name: str, more: str = "") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'data: {{name: synthetic}}\nmodel: {{name: "{name}"{more}}}\n')
    return path


# Where code is found


def test_code_is_found_beside_the_recipe_that_names_it_and_nothing_else_is_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "halves.py").rename(folder / "here.py")
    (folder / "bystander.py").write_text("raise AssertionError")
    monkeypatch.chdir(folder.parent)
    before = list(sys.path)
    recipe = read(write(folder / "recipe.yaml", "here:Half", ", gain: 0.3"))
    assert "here" not in sys.modules  # its text says what it takes
    assert models.create(recipe.model.name, **recipe.model.arguments).gain.item() == pytest.approx(0.3)
    assert sys.path == before


def test_a_base_has_its_own_folder_and_the_working_folder_has_no_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "base" / "base.yaml", "mine:Half")
    (folder / "base" / "mine.py").write_text(HALF)
    (folder / "mine.py").write_text("raise AssertionError")
    (folder / "top.yaml").write_text("base: base/base.yaml\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend("")
    assert read("top.yaml").model.name == "mine:Half"
    assert Path(modules.load("mine").__file__ or "").parent == folder / "base"
    with pytest.raises(InputError, match="there is no module nowhere"):
        read(write(folder / "base" / "other.yaml", "nowhere:Half"))


def test_a_name_that_is_installed_is_refused_and_so_is_a_second_module_of_one_name(folder: Path) -> None:
    (folder / "json.py").write_text(HALF)
    with pytest.raises(InputError, match=r"json\.py has the name of an installed module"):
        read(write(folder / "recipe.yaml", "json:Half"))
    modules.trust(folder / "halves.py")
    modules.load("halves")
    (folder / "other").mkdir()
    (folder / "other" / "halves.py").write_text(HALF)
    modules.trust(folder / "other" / "halves.py")
    with pytest.raises(InputError, match="another module halves is in use"):
        modules.load("halves")


def test_what_a_file_names_needs_trust_and_functions_do_as_networks(folder: Path, tmp_path: Path) -> None:
    modules.trust(folder / "halves.py")
    network = models.create("halves:small", gain=0.75)
    models.save(network, tmp_path / "small.safetensors")
    modules.named_modules.clear()
    with pytest.raises(InputError, match="add --trust halves"):
        models.load(tmp_path / "small.safetensors")
    loaded = models.load(tmp_path / "small.safetensors", trust=folder / "halves.py")
    assert (loaded.name, loaded.arguments) == ("halves:small", {"gain": 0.75})
    with pytest.raises(InputError, match=r"is a class Module; expected a class derived from sordino\.models\.Enhancer"):
        models.create("torch.nn:Module")
    with pytest.raises(InputError, match="is no module"):
        modules.trust("not a module")


# Signatures


def test_signatures_are_read_from_text_where_it_says_them_and_inspected_where_not(folder: Path) -> None:
    (folder / "sorts.py").write_text(
        "from dataclasses import dataclass\nfrom numpy import float64\nfrom halves import Half\n"
        "@dataclass\nclass Tones:\n    segment_s: float = 1.0\n"
        "class Foreign(Half):\n    pass\n"
        "def loss(reference, estimate, noisy, power: int = 2):\n    return reference\n"
        "class Odd:\n    def __init__(self, level: float64, any=3): pass\n"
    )
    modules.trust_names(["halves:Half", "sorts:Odd"], folder)
    both = {"gain", "kind"}
    assert named("network", "halves:Half").keys() == named("network", "halves:Quarter").keys() == both
    assert "halves" not in sys.modules
    assert named("loss", "sorts:loss").keys() == {"power"}
    assert "sorts" not in sys.modules
    assert named("source", "sorts:Tones").keys() == {"segment_s"}
    assert named("network", "sorts:Foreign").keys() == both
    assert named("network", "halves:Half") == inspected(modules.load("halves").Half)
    assert named("source", "sorts:Odd").keys() == {"level", "any"}
    (folder / "halves.py").write_text(HALF.replace("gain", "volume"))
    assert "volume" in named("network", "halves:Half")
    (folder / "wrong.py").write_text("class Half(:\n")
    modules.trust(folder / "wrong.py")
    with pytest.raises(InputError, match=r"wrong\.py: is no Python \(invalid syntax"):
        named("network", "wrong:Half")


def test_a_recipe_with_code_of_the_users_is_read_without_torch(folder: Path) -> None:
    path = write(folder / "recipe.yaml", "halves:Half", ", gain: 0.3")
    program = "import sys\nfrom sordino.experiments.recipe import read\nread(sys.argv[1])\nprint(*sys.modules)"
    words = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert {"torch", "numpy", "halves"}.isdisjoint(done.stdout.split())


# Metrics and sources


def test_metrics_and_sources_of_the_users(folder: Path) -> None:
    (folder / "measures.py").write_text(
        "import numpy as np\nfrom sordino.metrics import Column, Metric\n"
        "def drift(clean, estimate, sample_rate):\n    return np.abs(clean - estimate).mean()\n"
        "DRIFT = Metric(drift, {'drift': Column('Drift', 3, higher_is_better=False)})\n"
        "TWO = Metric(drift, {'a': Column('A'), 'b': Column('B')})\n"
        "def nothing(clean, estimate, sample_rate):\n    return float('nan')\n"
    )
    modules.trust(folder / "measures.py")
    import numpy as np

    wave = np.random.default_rng(0).standard_normal(1000)
    found = measure(wave, wave + 0.5, 16000, ["measures:DRIFT", "snr_db", "measures:nothing"])
    assert found.values["measures:DRIFT"] == pytest.approx(0.5)
    assert list(found.values) == ["snr_db", "measures:DRIFT"]
    assert found.failures == {"measures:nothing": "measures:nothing gave nan"}
    assert metric("measures:DRIFT").columns["measures:DRIFT"].label == "Drift"
    choice = Selection({"measures:DRIFT": 2.0})
    assert choice.metrics[-1] == "measures:DRIFT"
    assert choice.score({"measures:DRIFT": 3.0}) == -6.0
    with pytest.raises(InputError, match="has 2 columns"):
        metric("measures:TWO")
    with pytest.raises(InputError, match="made a float; expected a class with the members"):
        sources.create("measures:nothing", clean=0, estimate=0, sample_rate=0)


# Names of installed packages


@pytest.fixture
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package in site-packages that adds a network, and one that is called like one of sordino's."""
    about = folder / "halves-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: halves\nVersion: 1.0\n")
    points = "[sordino.models]\nhalf = halves:Half\nunet = halves:Half\n"
    (about / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(folder)
    catalogue.added_names.cache_clear()
    yield
    catalogue.added_names.cache_clear()


@pytest.mark.usefixtures("installed")
def test_an_installed_package_adds_names_and_cannot_take_any(folder: Path, tmp_path: Path) -> None:
    assert {one.value for one in importlib.metadata.entry_points(group="sordino.models")} >= {"halves:Half"}
    recipe = read({"data": {"name": "synthetic"}, "model": {"name": "half", "gain": 0.3}})
    network = models.create(recipe.model.name, **recipe.model.arguments)
    models.save(network, tmp_path / "half.safetensors")
    assert models.load(tmp_path / "half.safetensors").name == "half"
    with pytest.raises(InputError, match="did you mean half"):
        models.create("hallf")
    with pytest.warns(UserWarning, match="network unet: sordino's own is used, not halves:Half"):
        assert models.create("unet", width=4, depth=1, groups=1).name == "unet"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.create("dualpath", width=4, blocks=1, bands=41, window=256, hop=64)


def test_a_checkpoint_whose_package_is_gone_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    modules.trust(folder / "halves.py")
    network = models.create("halves:Half")
    network.name = "half"
    models.save(network, tmp_path / "half.safetensors")
    with pytest.raises(InputError, match=r"half\.safetensors: names a network half, .*; install the package"):
        models.load(tmp_path / "half.safetensors")
    network.name = "gone.away:Half"
    models.save(network, tmp_path / "gone.safetensors")
    with pytest.raises(InputError, match="there is no module gone"):
        models.load(tmp_path / "gone.safetensors", trust="gone")


def test_kinds_have_the_catalogues_that_they_name() -> None:
    for kind, known in (("method", METHODS), ("metric", METRICS), ("network", models.MODELS)):
        assert all(catalogue.target(kind, name, known) is None for name in known)


def test_a_file_of_the_working_folder_is_no_module_unless_it_is_named(tmp_path: Path) -> None:
    """torch imports dill where there is one, and sordino itself matplotlib and others."""
    for name in ("dill", "matplotlib", "psutil", "yaml"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')\n")
    (tmp_path / "mine.py").write_text("def louder(noisy): return 1.5 * noisy\n")
    soundfile.write(tmp_path / "a.wav", np.full(1600, 0.1), 16000)
    words = [sys.executable, "-m", "sordino"]
    for command in (["bench", "unet-24", "--counts"], ["enhance", "a.wav", "-o", "b.wav", "--model", "mine:louder"]):
        done = subprocess.run([*words, *command], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()
    assert np.allclose(soundfile.read(tmp_path / "b.wav")[0], 0.15, atol=1e-3)
