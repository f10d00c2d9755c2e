"""Every command of the README runs, in its order, as a reader would type it; trainings are cut to one step.

The corpora that the reader would have downloaded are fabricated: the right folders and names, synthetic voices.
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

from sordino.audio.mix import mix
from sordino.cli.main import main
from sordino.data.voices import KINDS, Voice, make_noise, speak

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.partition("#")[0].strip() for language, block in BLOCKS if not language for line in block.strip().splitlines()
]
SHORT = ["train.steps=1", "train.batch_size=1", "train.accelerator=cpu", "train.workers=0", "train.validate_items=1"]
SHORT += ["data.segment_s=0.5"]


def sound(rng: np.random.Generator, seconds: float, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """A synthetic utterance, noisy and clean."""
    clean = speak(rng, Voice.draw(rng), seconds, rate)
    noise = make_noise(rng, str(rng.choice(list(KINDS))), seconds, rate)
    noisy, clean, _ = mix(clean, np.resize(noise, len(clean)), 5.0)
    return noisy, clean


def write_pair(noisy: Path, clean: Path, name: str, rng: np.random.Generator, rate: int) -> None:
    for folder, wave in zip((noisy, clean), sound(rng, 1.6, rate), strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, wave, rate)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's reader has: a noisy file, a download, recordings of one's own."""
    folder, rng = tmp_path_factory.mktemp("reader"), np.random.default_rng(0)
    soundfile.write(folder / "noisy.wav", np.stack(sound(rng, 1.0, 44100), axis=1), 44100)
    download = folder / "downloads" / "valentini"
    for split, speakers in (("trainset_28spk", ("p226", "p227", "p282", "p287")), ("testset", ("p232", "p257"))):
        for speaker in speakers:
            write_pair(
                download / f"noisy_{split}_wav", download / f"clean_{split}_wav", f"{speaker}_001.wav", rng, 48000
            )
    for speaker in ("ann", "ben", "eve"):
        write_pair(folder / "unused", folder / "my" / "speech" / speaker, f"{speaker}.wav", rng, 16000)
        write_pair(folder / "my" / "noise", folder / "unused", f"{speaker}-street.wav", rng, 16000)
    write_pair(folder / "my" / "test" / "noisy", folder / "my" / "test" / "clean", "one.wav", rng, 16000)
    return folder


def test_every_command_is_of_a_known_kind() -> None:
    assert {shlex.split(command)[0] for command in COMMANDS} == {"make", "pip", "sordino"}
    assert sum(command.startswith("sordino train") for command in COMMANDS) >= 3


def test_make_and_pip_name_what_exists() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for command in COMMANDS:
        if command.startswith("make"):
            assert command.split()[1] in targets
        if command.startswith("pip"):
            assert set(re.findall(r"\[(\w+)\]", command)) <= extras.keys()


def test_sordino_commands_run_in_their_order(reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    for command in COMMANDS:
        words = shlex.split(command)
        if (
            words[0] != "sordino" or words[1] == "serve"
        ):  # which runs until it is stopped; tests/test_serve.py does that
            continue
        if "<" in words:
            in_shell = command.replace("sordino", f"{shlex.quote(sys.executable)} -m sordino", 1)
            subprocess.run(in_shell, shell=True, check=True, capture_output=True)
            continue
        if words[1] == "train" and words[2].startswith("unet/"):
            words += [*SHORT, "model.width=4", "model.groups=1"]
        elif words[1:3] == ["train", "my.yaml"]:
            words += SHORT[:-1]  # the perceptual loss needs a second
        elif words[1] == "train":
            words += [*SHORT, "model.hidden=6", "model.depth=1"]
        if words[1] == "bench":
            words += ["--seconds", "0.5", "--repeats", "1"]
        if words[1:3] == ["data", "check"]:
            words += ["--measure", "0"]
        if words[1:3] == ["data", "prepare"]:
            words += ["--workers", "1"]
        main(words[1:])
    assert soundfile.info("clean.wav").samplerate == 44100
    assert soundfile.info("streamed.wav").frames == soundfile.info("noisy.wav").frames
    assert Path("report.html").stat().st_size > 10_000
    assert Path("student.onnx").is_file()


def test_python_runs(reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    (block,) = [block for language, block in BLOCKS if language == "python"]
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    noisy, estimate = names["noisy"], names["estimate"]
    assert isinstance(noisy, np.ndarray)
    assert isinstance(estimate, np.ndarray)
    assert estimate.shape == noisy.T.shape
