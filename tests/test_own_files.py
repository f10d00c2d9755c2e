"""What a user names as output is written over where it is an older output of the kind, and else left alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from helpers.corpora import write_pairs
from helpers.recipes import SOUND, UNET, settings
from sordino.app.site import check_folder
from sordino.assets import student_file
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.experiments import run
from sordino.experiments.compare import compare
from sordino.experiments.recipe import read
from sordino.experiments.run_folder import demand_folder
from sordino.experiments.run_recipe import RECIPE, write_recipe
from sordino.experiments.side_by_side import side_by_side
from sordino.experiments.study import run_all
from sordino.experiments.study_plan import Study
from sordino.files import atomic, visible
from sordino.inference.graphs.onnx_graph import check_name
from sordino.report.pages.runs import write_page
from sordino.report.runs import RunRow

SCORES = Scores([{"id": "a", "speaker": "s", "seconds": 1.0, "stoi": 0.5}], ("stoi",))
NOWHERE = ("no/noisy", "no/clean")

WRITERS: dict[str, Callable[[Path], object]] = {
    "report.html": lambda path: compare(["no/run"], path),
    "models.html": lambda path: side_by_side(["noisy"], NOWHERE, page=path),
    "scores.json": lambda path: run.evaluate("noisy", NOWHERE, out=path.parent),
    "scores.csv": lambda path: run.evaluate("noisy", NOWHERE, out=path.parent),
    "study.html": lambda path: run_all(Study("no", {"none": {}}, out=str(path.parent)), []),
    "student.onnx": check_name,
    "student.stream.onnx": lambda path: check_name(path.with_name("student.onnx")),
}
"""Name of an output -> what would write it; all but the last fail for want of anything to score."""


def write_own(path: Path) -> None:
    """Write a file as an earlier run of the same command does."""
    if path.suffix == ".html":
        write_page(path, "t", [RunRow.of(SCORES, "a")])
    elif path.suffix == ".onnx":
        shutil.copyfile(student_file(suffix=path.name.removeprefix("student")), path)
    else:
        (SCORES.to_json if path.suffix == ".json" else SCORES.to_csv)(path)


def refusal(write: Callable[[Path], object], path: Path) -> str:
    """Return the message about a path; empty if it may be written."""
    try:
        write(path)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", WRITERS)
def test_an_output_replaces_an_older_one_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert "would be lost" not in refusal(WRITERS[name], path)
    for content in (b"\x93NUMPY", b"<!DOCTYPE html><main>mine</main>", b'{"a": 1}', b"id,path\n1,a.wav\n"):
        path.write_bytes(content)
        message = refusal(WRITERS[name], path)
        assert message.startswith(f"{path}: is no ")
        assert "of sordino, and would be lost" in message
        assert path.read_bytes() == content
    path.write_bytes(b"")
    assert "would be lost" not in refusal(WRITERS[name], path)
    write_own(path)
    assert "would be lost" not in refusal(WRITERS[name], path)


@pytest.mark.parametrize("name", WRITERS)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    message = refusal(WRITERS[name], tmp_path / "file" / "new" / name)
    assert "cannot be written (Not a directory)" in message
    (tmp_path / "taken" / name).mkdir(parents=True)
    assert "cannot be written (Is a directory)" in refusal(WRITERS[name], tmp_path / "taken" / name)
    refusal(WRITERS[name], tmp_path / "new" / name)
    assert not (tmp_path / "new").exists(), "what was tried is left behind"


def test_the_places_of_all_models_are_tried_before_the_first_is_scored(tmp_path: Path) -> None:
    (tmp_path / "unet-24").write_text("mine")
    with pytest.raises(InputError, match=r"unet-24/scores\.json: cannot be written \(Not a directory\)"):
        side_by_side(["noisy", "unet-24"], NOWHERE, out=tmp_path)


def test_scores_that_cannot_be_written_after_all_are_still_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy, clean = write_pairs(tmp_path, speakers=1, each=1)
    full = "free some space and run again"

    def write(*_: object, **__: object) -> None:
        raise InputError("out", "the disk is full", hint=full)

    monkeypatch.setattr(Scores, "to_json", write)
    monkeypatch.setattr("sordino.experiments.side_by_side.write_page", write)
    data = ["noisy", "--data", noisy, clean, "--metrics", "si_sdr_db", "--workers", "0"]
    for more in (["--out", str(tmp_path / "scores")], ["--page", str(tmp_path / "page.html")]):
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *data, *more])
        printed = capsys.readouterr()
        assert (ended.value.code, printed.out) == (2, "")
        assert "SI-SDR (dB)" in printed.err
        assert printed.err.endswith(f"sordino: out: the disk is full; {full}\n")


def test_a_recipe_in_the_folder_of_its_run_is_not_written_over(tmp_path: Path) -> None:
    path, words = tmp_path / RECIPE, "# what I found out\n"
    good = {"data": SOUND, "model": UNET, "train": settings(1)}
    path.write_text(words + yaml.safe_dump(good))
    checked = read(path)
    with pytest.raises(InputError, match="is the recipe itself, which would be written over"):
        write_recipe(tmp_path, checked, path)
    assert path.read_text().startswith(words)
    write_recipe(tmp_path / "run", checked, path)
    before = (tmp_path / "run" / RECIPE).read_text()
    write_recipe(tmp_path / "run", read(tmp_path / "run" / RECIPE), tmp_path / "run" / RECIPE)
    assert (tmp_path / "run" / RECIPE).read_text() == before, "its own words stay"
    write_recipe(tmp_path / "run", read(path, ["train.steps=2"]), path)
    assert (tmp_path / "run" / RECIPE).read_text() != before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such things on Windows")
def test_pipes_devices_and_streams_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "out").symlink_to("/proc/self/fd/1")  # as /dev/stdout is one, also where it is redirected into a file
    before = sorted(tmp_path.iterdir())
    for path in before:
        with pytest.raises(InputError, match="is a device, a pipe or a stream"), atomic(path):
            pytest.fail("nothing is to be written")
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with atomic(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").read_text() == "new", "a link to a file, or to nothing, is replaced"


def test_hidden_files_of_a_file_manager_leave_a_folder_empty(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert visible(tmp_path) == []
    check_folder(tmp_path)
    (tmp_path / "mine.html").write_text("")
    assert visible(tmp_path) == [tmp_path / "mine.html"]
    with pytest.raises(InputError):
        check_folder(tmp_path)


@pytest.mark.parametrize("comment", ["# of another day\n", ""])
def test_another_recipe_in_the_folder_of_a_run_stays(tmp_path: Path, comment: str) -> None:
    recipe, words = {"data": SOUND, "model": UNET, "train": settings(1)}, comment + yaml.safe_dump({"model": UNET})
    (tmp_path / RECIPE).write_text(words)
    for attempt in (lambda: run.train(recipe, out=tmp_path), lambda: demand_folder(read(recipe), tmp_path)):
        with pytest.raises(InputError, match="is another recipe, which would be written over; choose another folder"):
            attempt()
    assert (tmp_path / RECIPE).read_text() == words
    write_recipe(tmp_path, read(recipe))  # as a run that was killed leaves it
    assert run.train(recipe, out=tmp_path).steps == 1
