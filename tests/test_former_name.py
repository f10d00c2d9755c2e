"""Files that the package wrote while it was called sotto are read as before: checkpoints, runs, teachers' caches.

``data/former`` was written by its last version under that name, from ``half/recipe.yaml``: a teacher, the folder of a
run of eight steps as it was after four, the cache of the teacher's answers, and the weights that the whole run reached.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import sordino
from sordino import models
from sordino.assets import shipped
from sordino.training.log import read_log

FORMER = Path(__file__).parent / "data" / "former"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in: the recipe names the teacher and its cache as they lie beside the run."""
    copy = tmp_path / "former"
    shutil.copytree(FORMER, copy)
    monkeypatch.chdir(copy)
    return copy


def test_checkpoints_are_read(folder: Path) -> None:
    header = models.read_header(folder / "teacher.safetensors")
    assert header["name"] == "dualpath"
    assert header["sordino"] == "0.1.0"
    network = sordino.load(folder / "teacher.safetensors")
    assert network(torch.zeros(1, 4000)).shape == (1, 4000)
    models.save(network, folder / "again.safetensors", step=3)
    again = sordino.load(folder / "again.safetensors").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in network.state_dict().items())


def test_a_run_goes_on_with_its_cache_to_the_weights_of_the_whole_run(folder: Path) -> None:
    answers = {path: path.read_bytes() for path in (folder / "cache").rglob("*.safetensors")}
    sordino.train(folder / "half" / "recipe.yaml", out=folder / "half", resume=True)
    assert read_log(folder / "half")[-1]["step"] == 8
    weights, expected = (
        load_file(path) for path in (folder / "half/last.safetensors", folder / "expected.safetensors")
    )
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-5)
    # The answers were used: none was computed again, which would have written it under another key.
    assert {path: path.read_bytes() for path in (folder / "cache").rglob("*.safetensors")} == answers


def test_students_that_ship_say_who_wrote_them() -> None:
    for name in shipped():
        if not name.endswith("-int8"):
            assert models.read_header(name)["sordino"]
