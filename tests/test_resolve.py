"""What a model is: every way to name one, in one place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.functions import halve
from sordino import models
from sordino.assets import DEFAULT_STUDENT, INT8, shipped, student_file, students
from sordino.errors import InputError
from sordino.inference.engine import open_engine
from sordino.inference.model import open_model
from sordino.inference.resolve import resolve


def test_nothing_and_a_name_are_students_that_ship() -> None:
    assert resolve() == resolve(DEFAULT_STUDENT)
    assert (resolve().kind, resolve().name, resolve().file) == ("shipped", DEFAULT_STUDENT, student_file())
    assert [name for name, card in shipped().items() if card["default"]] == [DEFAULT_STUDENT]
    assert students() == list(shipped()) == [card["name"] for card in shipped().values()]
    for name in students():
        source = resolve(name)
        assert source.file.is_file()
        if name.endswith(INT8):
            with pytest.raises(InputError, match="ships as ONNX alone"):
                _ = source.checkpoint
        else:
            assert source.checkpoint.is_file()


@pytest.mark.parametrize("name", students())
def test_an_open_model_is_called_as_it_was_named(name: str) -> None:
    """Not as the class of its network, which scores, tables and messages would then show."""
    assert open_model(name).name == name
    assert open_model(resolve(name).file).name == name


@pytest.mark.parametrize(
    ("file", "kind", "name"),
    [
        ("theirs.onnx", "onnx", "theirs"),
        ("THEIRS.ONNX", "onnx", "THEIRS"),
        ("theirs.stream.onnx", "stream", "theirs"),
        ("manner-s-1.5gf.onnx", "onnx", "manner-s-1.5gf"),
        ("best.safetensors", "checkpoint", "best"),
        ("best.th", "checkpoint", "best"),
        ("BEST.PT", "checkpoint", "BEST"),
    ],
)
def test_a_file_is_known_by_its_suffix(tmp_path: Path, file: str, kind: str, name: str) -> None:
    path = tmp_path / file
    expected = f"expected a .onnx file, a checkpoint, or one of {DEFAULT_STUDENT}"
    with pytest.raises(InputError, match=f"{file}: no such model; {expected}"):
        resolve(path)
    assert resolve(path, otherwise="recipe").kind == kind  # its reader says that it is not there
    path.touch()
    for given in (path, str(path)):
        source = resolve(given)
        assert (source.kind, source.name, source.path, source.is_graph) == (kind, name, path, kind != "checkpoint")
    if kind == "checkpoint":
        assert resolve(path).checkpoint == path
    else:
        with pytest.raises(InputError, match="is no checkpoint"):
            _ = resolve(path).checkpoint


def test_other_words_are_what_the_function_takes_besides(tmp_path: Path) -> None:
    assert resolve("valentini/manner-s-1.5gf", otherwise="recipe").kind == "recipe"
    assert resolve("weights.bin", otherwise="checkpoint").checkpoint == Path("weights.bin")
    with pytest.raises(InputError, match=r"unet-25: no such model.*did you mean unet-24"):
        resolve("unet-25")
    (tmp_path / "words.txt").touch()
    with pytest.raises(InputError, match="not a model; expected"):
        resolve(tmp_path / "words.txt")
    with pytest.raises(InputError, match=r"my\.recipe: is no file of a model"):
        _ = resolve("my.recipe", otherwise="recipe").file


def test_objects_of_python_are_known_by_what_they_can_do() -> None:
    network = models.create("unet", width=8, depth=2)
    assert (resolve(network).kind, resolve(network).name, resolve(network).value) == ("network", "unet", network)
    assert (resolve(halve).kind, resolve(halve).name, resolve(halve).value) == ("function", "halve", halve)
    assert (resolve(f"{__name__}:halve").kind, resolve(f"{__name__}:halve").name) == ("import", f"{__name__}:halve")
    model, engine = open_model(halve), open_engine()
    assert (resolve(model).kind, resolve(model).value) == ("model", model)
    assert (resolve(engine).kind, resolve(engine).value) == ("engine", engine)
    with pytest.raises(InputError, match="model: a int; expected a name, a path, a network or a function"):
        resolve(3)
    with pytest.raises(InputError, match="halve: is no file of a model"):
        _ = resolve(halve).file
    noisy = np.random.default_rng(0).standard_normal(2000).astype(np.float32)
    assert open_engine(open_model(engine)) is engine
    np.testing.assert_allclose(open_model(engine)(noisy), open_model()(noisy), atol=1e-5)


def test_a_word_runs_no_module_and_opens_no_file(tmp_path: Path) -> None:
    assert resolve("nowhere.at_all:enhance").kind == "import"
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    assert resolve(tmp_path / "broken.onnx").kind == "onnx"
