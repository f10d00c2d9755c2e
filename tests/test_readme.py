"""Every command of the README runs, in its order, as a reader would type it; trainings are cut to one step.

Those of a newcomer's first minutes run in tests/test_first_minutes.py. The corpora that the reader would have
downloaded are fabricated: the right folders and names, synthetic voices.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from docs_pages import FIRST_MINUTES, README, ROOT, blocks_of, commands_of, section
from helpers.corpora import spoken, write_spoken
from sordino import models
from sordino.cli.main import main

COMMANDS = commands_of(blocks_of(README))
RUN_THERE = [words for title in FIRST_MINUTES for words in commands_of(blocks_of(section(README, title)))]
SHORT = ["train.steps=1", "train.batch_size=1", "train.accelerator=cpu", "train.workers=0", "train.validate_items=1"]
SHORT += ["data.segment_s=0.5"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's reader has: a noisy file, and a download."""
    folder, rng = tmp_path_factory.mktemp("reader"), np.random.default_rng(0)
    soundfile.write(folder / "noisy.wav", np.stack(spoken(rng, 1.0, 44100), axis=1), 44100)
    download = folder / "downloads" / "valentini"
    for split, speakers in (("trainset_28spk", ("p226", "p227", "p282", "p287")), ("testset", ("p232", "p257"))):
        for speaker in speakers:
            pair = [download / f"{side}_{split}_wav" / f"{speaker}_001.wav" for side in ("noisy", "clean")]
            write_spoken(*pair, rng, rate=48000)
    return folder


def test_every_command_is_of_a_known_kind() -> None:
    assert {words[0] for words in COMMANDS} == {"make", "pip", "python3", "sordino"}
    assert sum(words[:2] == ["sordino", "train"] for words in COMMANDS) >= 3


def test_make_and_pip_name_what_exists() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for words in COMMANDS:
        if words[0] == "make":
            assert words[1] in targets
        if words[0] == "pip":
            assert set(re.findall(r"\[(\w+)\]", " ".join(words))) <= extras.keys()


def test_sordino_commands_run_in_their_order(reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    for words in COMMANDS:
        if words in RUN_THERE or words[0] != "sordino":
            continue
        if words[1] == "serve":  # which runs until it is stopped; tests/test_serve.py does that
            continue
        if "<" in words:
            in_shell = f"{shlex.quote(sys.executable)} -m {' '.join(words)}"
            subprocess.run(in_shell, shell=True, check=True, capture_output=True)
            continue
        short = []
        if words[1] == "train":
            small = ["model.width=4", "model.groups=1"] if "unet/" in words[2] else ["model.hidden=6", "model.depth=1"]
            short = [*SHORT, *small]
        if words[1] == "bench":
            short = ["--seconds", "0.5", "--repeats", "1"]
        if words[1:3] == ["data", "check"]:
            short = ["--measure", "0"]
        if words[1:3] == ["data", "prepare"]:
            short = ["--workers", "1"]
        if words[1] == "export":  # of a network of another kind: to translate attention takes five times as long
            models.save(models.create("demucs", hidden=2, depth=1), words[2])
        main([*words[1:], *short])
    assert soundfile.info("streamed.wav").frames == soundfile.info("noisy.wav").frames
    assert Path("report.html").stat().st_size > 10_000
    assert Path("student.onnx").is_file()


def test_python_runs(reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    (block,) = [block for block in blocks_of(README) if block.language == "python" and not block.title]
    names: dict[str, object] = {}
    exec(compile(block.text, "README.md", "exec"), names)
    noisy, estimate = names["noisy"], names["estimate"]
    assert isinstance(noisy, np.ndarray)
    assert isinstance(estimate, np.ndarray)
    assert estimate.shape == noisy.T.shape
