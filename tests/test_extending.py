"""Code of the user's: a method and a network in a folder of their own are trained, studied, exported and streamed.

Files and commands are those of the pages, with short runs.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import sordino
from docs_pages import STEPS, blocks_of, commands_of, first_example, read, section, shortened
from helpers.corpora import write_pair
from helpers.runs import interrupt_at, same_weights
from sordino import models
from sordino.audio import sound_files
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.check import check
from sordino.plugins import modules
from sordino.training import read_log

CODE = {"my_method.py": "your-own-method.md", "my_network.py": "your-own-network.md"}


def road() -> str:
    """The part of the page that has the complete example."""
    return section(read("extending.md"), "A complete example")


@pytest.fixture
def home(own_code: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the code of the pages, their recipes, cut short, and a few recordings."""
    for name, page in CODE.items():
        (block,) = [block for block in first_example(page) if block.title == name]
        assert block.text.count("\n") <= 40
        (own_code / name).write_text(block.text)
    for block in blocks_of(road()):
        if block.title:
            values = yaml.safe_load(shortened(block.text))
            if "methods" in values:
                del values["methods"]["contrast, half"]
                values["jobs"] = 2
            else:
                values["model"]["hidden"] = 8
            (own_code / block.title).write_text(yaml.safe_dump(values))
    for who in ("ann", "ben", "eve"):
        write_pair(own_code / "made", f"{who}.wav", len(who) + ord(who[0]), 1.2)
        for side, place in (("clean", f"my/speech/{who}/1.wav"), ("noisy", f"my/noise/{who}-street.wav")):
            (own_code / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(own_code / "made" / side / f"{who}.wav", own_code / place)
    for side in ("noisy", "clean"):
        (own_code / "my" / "test" / side).mkdir(parents=True)
        shutil.copy(own_code / "made" / side / "ann.wav", own_code / "my" / "test" / side)
        shutil.copytree(own_code / "my" / "test" / side, own_code / side)
    shutil.copy(own_code / "noisy" / "ann.wav", own_code / "noisy.wav")
    monkeypatch.chdir(own_code)
    return own_code


def test_the_whole_road_in_a_folder_of_its_own(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    *commands, stream = commands_of(blocks_of(road()))
    for words in commands:
        main(words[1:])
    assert "my_network:GruMask" in (home / "runs/student/recipe.yaml").read_text()
    table = (home / "runs/study/table.md").read_text()
    assert "contrast" in table
    assert "none" in table
    assert stream == shlex.split("sordino enhance --stream --model student.onnx < noisy.wav > clean.wav")
    noisy, rate = sound_files.read(home / "noisy.wav")
    network = sordino.load("runs/student/best.safetensors")
    whole = sordino.enhance(noisy[0], rate, network)
    streamer = sordino.Streamer("student.onnx", rate)
    parts = [streamer.feed(block) for block in np.array_split(noisy[0], 7)]
    assert np.abs(np.concatenate([*parts, streamer.flush()]) - whole).max() < 1e-4
    assert np.abs(whole).max() > 1e-3


def test_a_run_goes_on_as_if_it_had_not_stopped(home: Path) -> None:
    run.train("student.yaml", ["train.steps=4"], "whole")
    with pytest.raises(KeyboardInterrupt):
        run.train("student.yaml", ["train.steps=4"], "halted", progress=interrupt_at(2))
    run.train("student.yaml", ["train.steps=4"], "halted", resume=True)
    assert same_weights(home / "whole", home / "halted")


def test_a_teacher_of_python_teaches_without_a_recipe(home: Path) -> None:
    (block,) = blocks_of(section(read("teachers.md"), "In Python"))
    short = ", ".join(f"{key}={value!r}" for key, value in STEPS.items())
    text = block.text.replace("steps=20000, batch_size=8", short).replace("snr_db=", "segment_s=0.5, snr_db=")
    assert "steps=2," in text
    exec(compile(text, "teachers.md", "exec"), {"__name__": "page"})
    assert models.load(home / "runs" / "python" / "best.safetensors").name == "unet"
    records = read_log(home / "runs" / "python")
    assert {"kd/output", "kd/at", "loss/compressed"} <= {key for record in records for key in record}


def test_mistakes_are_reported_at_once_with_the_nearest_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for override, message in (
        ("model.hiden=3", "model.hiden: no such key; did you mean hidden?"),
        ("model.hidden=many", "model.hidden: 'many'; expected a whole number"),
        ("model.name=my_network:GruMsk", "has no GruMsk; did you mean GruMask?"),
        ("model.name=my_netwrk:GruMask", "there is no module my_netwrk"),
        (
            "model.name=my_network.py:GruMask",
            "there is no module my_network.py; expected one in the installed packages",
        ),
        ("model.name=my_network.py:GruMask", "write my_network, without .py"),
        ("distill.my_method:SpectralContrast.powr=1", "powr: no such key; did you mean power?"),
        ("model.name=my_method:SpectralContrast", "is a class SpectralContrast; expected a class derived from"),
    ):
        with pytest.raises(SystemExit) as left:
            main(["train", "student.yaml", override, "--out", "wrong"])
        output = capsys.readouterr().err
        assert left.value.code == 2
        assert message in output
        assert output.count("\n") == 1
    assert not (home / "wrong").exists()


BROKEN = """
import torch
from sordino.distill.base import Method


class Detached(Method):
    def forward(self, student, teacher, batch):
        return (student.wave.detach() - teacher.wave).abs().mean() + 0 * student.wave.sum()
"""


def test_check_tells_what_does_not_hold_and_exits_with_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "my_broken.py").write_text(BROKEN)
    with pytest.raises(SystemExit) as left:
        main(["check", "my_broken:Detached"])
    assert left.value.code == 1
    output = capsys.readouterr().out
    assert re.search(r"gradient to the student alone +fails +no gradient reaches the student's", output)
    assert re.search(r"finite differences +fails +the gradient along a direction is 0", output)
    assert re.search(r"zero when equal +holds", output)
    assert "2 of 7 fail" in output
    main(["check", "fitnets"])
    assert "zero_when_equal is False" in capsys.readouterr().out


BARE = """
from torch import nn


class Network(nn.Module):
    def forward(self, noisy):
        return noisy


class Loss(nn.Module):
    def forward(self, reference, estimate, noisy):
        return (reference - estimate).abs().mean()
"""


def test_a_bare_module_is_a_loss_only_if_it_takes_what_a_loss_does(home: Path) -> None:
    (home / "my_bare.py").write_text(BARE)
    assert check("my_bare:Loss")[0] == "loss"
    with pytest.raises(
        InputError, match=r"kind is not clear.*sordino\.distill\.base\.Method or sordino\.models\.Enhancer"
    ):
        check("my_bare:Network")
    assert check("my_bare:Network", "loss")[1][0].outcome == "fails"  # who says that it is one is taken at his word
    with pytest.raises(InputError, match=r"name one of yours as package\.module:Class, with no folder and no \.py"):
        check("./my_bare.py:Network")


def test_a_name_of_two_kinds_needs_one_of_them() -> None:
    with pytest.raises(InputError, match=r"^stoi: is loss and metric; expected --kind loss or metric beside it$"):
        check("stoi")


def test_a_run_of_another_person_imports_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.train("student.yaml", out="theirs")
    modules.named_modules.clear()
    (home / "my_network.py").write_text("raise AssertionError('imported')")
    shutil.copy("my_network.py", "theirs/my_network.py")
    del sys.modules["my_network"]
    enhance = ["enhance", "noisy.wav", "-o", "b.wav", "--model"]
    for words in (["bench"], ["evaluate"], ["export", "-o", "a.onnx"], enhance):
        with pytest.raises(SystemExit) as left:
            main([*words, "theirs/best.safetensors"])
        assert left.value.code == 2
        assert "names my_network:GruMask, which is not part of sordino" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["report", "theirs"])
    assert "and was not imported" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"names a:B, c:D, which are not .*add --trust a --trust c, or"):
        modules.demand_names({"loss": {"a:B": {}}, "model": {"name": "c:D"}}, "theirs")
    with pytest.raises(InputError, match="trust='my_network'"):
        sordino.load("theirs/best.safetensors")
    with pytest.raises(AssertionError, match="imported"):
        sordino.load("theirs/best.safetensors", trust="my_network")
