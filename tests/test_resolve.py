"""What a model is: every way to name one, in one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.functions import halve
from helpers.recipes import SOUND, UNET
from sordino import models
from sordino.assets import DEFAULT_STUDENT, INT8, shipped, student_file, students
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.experiments.bench import bench
from sordino.experiments.finished import finished_recipe
from sordino.experiments.origins import data_of, demand_origins
from sordino.experiments.recipe import read
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
        ("best.safetensors", "checkpoint", ""),
        ("best.th", "checkpoint", ""),
        ("BEST.PT", "checkpoint", "BEST"),
    ],
)
def test_a_file_is_known_by_its_suffix(tmp_path: Path, file: str, kind: str, name: str) -> None:
    path = tmp_path / file
    expected = f"expected a .onnx file, a checkpoint, the folder of a run, or one of {DEFAULT_STUDENT}"
    with pytest.raises(InputError, match=f"{file}: no such model; {expected}"):
        resolve(path)
    assert resolve(path, otherwise="recipe").kind == kind  # its reader says that it is not there
    path.touch()
    for given in (path, str(path)):
        source = resolve(given)
        shown = name or tmp_path.name  # "best" says little: the folder is that of a run
        assert (source.kind, source.name, source.path, source.is_graph) == (kind, shown, path, kind != "checkpoint")
    if kind == "checkpoint":
        assert resolve(path).checkpoint == path
    else:
        with pytest.raises(InputError, match="is no checkpoint"):
            _ = resolve(path).checkpoint


def test_the_folder_of_a_run_stands_for_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "v1.2"
    run.mkdir()
    with pytest.raises(InputError, match=r"v1\.2: not a model"):
        resolve(run)
    (run / "recipe.yaml").touch()
    with pytest.raises(InputError, match=r"v1\.2/best\.safetensors: no such model"):  # from which the command is known
        resolve(run)
    network = models.create("unet", width=4, depth=2, groups=1)
    models.save(network, run / "last.safetensors")
    assert resolve(str(run)).checkpoint == run / "last.safetensors"  # a run that validates nothing has no best
    models.save(network, run / "best.safetensors")
    for given in (run, str(run), f"{run}/"):
        for otherwise in (None, "recipe", "checkpoint"):
            source = resolve(given, otherwise)
            assert (source.kind, source.name, source.file) == ("checkpoint", "v1.2", run / "best.safetensors")
        assert models.load(given).arguments == network.arguments
        assert models.read_about(given) == {}
    monkeypatch.chdir(run)
    assert (resolve(".").name, resolve(".").checkpoint) == ("v1.2", Path("best.safetensors"))
    (run / "below").mkdir()
    monkeypatch.chdir(run / "below")
    assert resolve("..").name == "v1.2"


@pytest.mark.parametrize(
    "ask",
    [
        lambda word: resolve(word),
        lambda word: models.load(word),
        lambda word: bench(word),
        lambda word: data_of(word),
        lambda word: demand_origins(read({"data": SOUND, "model": {"checkpoint": word}})),
        lambda word: demand_origins(read({"data": SOUND, "model": UNET, "teacher": {"checkpoint": word}})),
        lambda word: finished_recipe(Path(word)),
    ],
    ids=["resolve", "load", "bench", "evaluate", "model", "teacher", "report"],
)
def test_a_mistyped_student_gets_the_right_name_wherever_a_model_is_named(ask: Callable[[str], object]) -> None:
    with pytest.raises(InputError, match=r"^unet24: no .*did you mean unet-24\?$"):
        ask("unet24")


def test_an_export_names_the_student_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "dualpath24", "-o", "x.onnx"])
    assert "did you mean dualpath-24?" in capsys.readouterr().err


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
