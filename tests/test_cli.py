"""The command line: a user's mistake is one clear line and exit code 2, and nothing is left half written."""

from __future__ import annotations

import errno
import json
import resource
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.corpora import RATE
from helpers.noise import tone
from sordino import models
from sordino.assets import shipped, student_file
from sordino.cli.base import with_next_command
from sordino.cli.main import main
from sordino.cli.models import SHOWN
from sordino.files import unwritable

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail, and return its one line."""

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = [line for line in printed.err.splitlines() if line.startswith("sordino: ")]
        assert "Traceback" not in printed.err
        return line

    return run


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "runs/my/best.safetensors", "--recipe", "my.yaml"),
        ("evaluate", "noisy", "runs/my/best.safetensors", "--recipe", "my.yaml"),
        ("enhance", "noisy.wav", "-o", "clean.wav", "--model", "runs/my/best.safetensors"),
        ("export", "runs/my/best.safetensors", "-o", "my.onnx"),
    ],
)
def test_a_checkpoint_that_is_not_trained_yet_names_the_command_that_trains_it(
    here: Path, refused: Refused, words: tuple[str, ...]
) -> None:
    (here / "my.yaml").write_text("out: runs/my\nmodel: {name: unet}\ndata: {name: synthetic}\n")
    soundfile.write("noisy.wav", np.zeros(RATE), RATE)
    message = "runs/my/best.safetensors: no such file; expected a checkpoint; train it first: sordino train my.yaml"
    assert refused(*words) == f"sordino: {message}"


def test_a_checkpoint_that_cannot_be_written_keeps_its_reason(tmp_path: Path) -> None:
    """It is missing as well, but to train again would not help."""
    full = unwritable(tmp_path / "best.safetensors", OSError(errno.ENOSPC, "No space left on device"))
    assert with_next_command(full) is full
    assert "the disk is full" in str(full)


def nothing_written(folder: Path, *allowed: str) -> None:
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == sorted(allowed)


def test_empty_file(here: Path, refused: Refused) -> None:
    (here / "empty.wav").touch()
    assert "empty.wav" in refused("enhance", "empty.wav", "-o", "out.wav")
    soundfile.write("silent.wav", np.zeros(0), RATE)
    assert "silent.wav" in refused("enhance", "silent.wav", "-o", "out.wav")
    nothing_written(here, "empty.wav", "silent.wav")


def test_text_named_wav(here: Path, refused: Refused) -> None:
    (here / "words.wav").write_text("these are words, not sound")
    line = refused("enhance", "words.wav", "-o", "out.wav")
    assert "words.wav" in line
    assert "not" in line
    nothing_written(here, "words.wav")


def test_samples_that_are_not_numbers(here: Path, refused: Refused) -> None:
    broken = tone(0.5)
    broken[100] = np.nan
    soundfile.write("nan.wav", broken, RATE, subtype="FLOAT")
    assert "NaN" in refused("enhance", "nan.wav", "-o", "out.wav")
    nothing_written(here, "nan.wav")


def test_eight_kilohertz_stereo(here: Path, refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    # Fine to enhance, wrong to train on, and each says so.
    soundfile.write("in.wav", np.stack([tone(0.5, 8000)] * 2, axis=1), 8000)
    main(["enhance", "in.wav", "-o", "out.wav"])
    capsys.readouterr()
    after = soundfile.info("out.wav")
    assert (after.samplerate, after.channels, after.frames) == (8000, 2, 4000)
    for folder in ("clean", "noise"):
        for speaker in "abc":
            (here / folder / speaker).mkdir(parents=True)
            soundfile.write(here / folder / speaker / f"{speaker}.wav", np.stack([tone(2, 8000)] * 2, axis=1), 8000)
    (here / "r.yaml").write_text(RECIPE)
    line = refused("train", "r.yaml", "-o", "run")
    assert "8000 Hz" in line
    assert "sordino data prepare" in line
    assert not (here / "run").exists()


RECIPE = """
data: {name: mix, clean: clean, noise: noise, segment_s: 0.5}
model: {name: manner-s, hidden: 2, depth: 3}
train: {steps: 1, batch_size: 1, accelerator: cpu, workers: 0}
"""


def test_missing_partner(here: Path, refused: Refused) -> None:
    for folder, names in (("noisy", "ab"), ("clean", "a")):
        (here / folder).mkdir()
        for name in names:
            soundfile.write(here / folder / f"{name}.wav", tone(0.5), RATE)
    line = refused("evaluate", "noisy", "--data", "noisy", "clean")
    assert "b.wav" in line
    assert "partner" in line


def test_misspelt_keys_are_reported_at_once(here: Path, refused: Refused) -> None:
    (here / "r.yaml").write_text(RECIPE.replace("hidden", "hiden").replace("batch_size", "batchsize"))
    line = refused("train", "r.yaml", "--train.stps", "3")
    assert "model.hiden: no such key; did you mean hidden?" in line
    assert "train.batchsize: no such key; did you mean batch_size?" in line
    assert "train.stps: no such key; did you mean steps?" in line
    nothing_written(here, "r.yaml")


def test_checkpoint_of_another_network(here: Path, refused: Refused) -> None:
    from safetensors.torch import load_file, save_file

    models.save(models.create("manner-s", hidden=4, depth=3), "small.safetensors")
    header = {"format": "sordino-network-1", "sordino": "0", "name": "manner-s", "sample_rate": "16000", "about": "{}"}
    save_file(load_file("small.safetensors"), "other.safetensors", header | {"arguments": '{"hidden": 6, "depth": 3}'})
    soundfile.write("in.wav", tone(0.5), RATE)
    line = refused("enhance", "in.wav", "-o", "out.wav", "--model", "other.safetensors")
    assert "weights of another network" in line
    save_file(load_file("small.safetensors"), "foreign.safetensors")
    assert "did not write" in refused("enhance", "in.wav", "-o", "out.wav", "--model", "foreign.safetensors")
    Path("bad.safetensors").write_bytes(b"\0" * 64)
    assert "bad.safetensors" in refused("enhance", "in.wav", "-o", "out.wav", "--model", "bad.safetensors")
    assert not (here / "out.wav").exists()


@pytest.mark.parametrize("target", ["out.wav", "out.flac"])
def test_full_disk(here: Path, target: str) -> None:
    """A limit on the size of files makes real writes fail, as a full disk does."""
    soundfile.write("in.wav", 0.1 * np.random.default_rng(0).standard_normal(10 * RATE), RATE)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    words = [sys.executable, "-B", "-m", "sordino", "enhance", "in.wav", "-o", target]
    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=limit, timeout=120)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert target in done.stderr
    nothing_written(here, "in.wav")


@pytest.mark.parametrize("name", shipped())
def test_a_student_shows_its_card(name: str, capsys: pytest.CaptureFixture[str], refused: Refused) -> None:
    main(["models", name])
    output, card = capsys.readouterr().out, shipped()[name]
    means, noisy = (card["scores"][whose] for whose in ("model", "noisy"))
    for figure in (f"{card['parameters']:,}", card["data"], card["licence"], f"{means['pesq_wb']:.3f}"):
        assert figure in output
    (worse,) = [line for line in output.splitlines() if line.startswith("Worse than the noisy input on average: ")]
    assert ("STOI" in worse) == (means["stoi"] < noisy["stoi"]) or "none of" in worse
    assert ("none of" in worse) == all(means[column] >= noisy[column] for column in SHOWN)
    main(["models", name, "--json"])
    assert json.loads(capsys.readouterr().out) == card
    assert f"{name}x: does not ship; expected one of" in refused("models", f"{name}x")


def test_a_student_that_ships_is_copied(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, suffixes in (("unet-24", (".onnx", ".stream.onnx")), ("manner-s-1.5gf-int8", (".onnx",))):
        main(["export", name, "-o", "student.onnx", "--json"])
        output = json.loads(capsys.readouterr().out)
        assert (output["copied"], output["stream_output"]) == (name, "student.stream.onnx" if suffixes[1:] else None)
        for suffix in suffixes:
            assert (here / f"student{suffix}").read_bytes() == student_file(name, suffix).read_bytes()
        nothing_written(here, *(f"student{suffix}" for suffix in suffixes))


def test_a_pipe_that_breaks_at_work_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "a process that was to do the work has died")

    monkeypatch.setattr(sys.modules[main.__module__], "parsed", lambda _: Namespace(run=breaks, json=False))
    with pytest.raises(BrokenPipeError):
        main(["models"])


def test_an_answer_that_nobody_reads_ends_quietly() -> None:
    command = [sys.executable, "-m", "sordino", "models", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0
