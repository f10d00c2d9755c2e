"""Three newcomers walk the README: each section alone, its commands in their order, in a folder with what he has.

Files of the sections, and the recipe that ``sordino new`` writes, are cut to two steps; commands are as they stand.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

import sordino
from docs_pages import README, blocks_of, commands_of, section, shortened
from helpers.corpora import spoken, write_spoken
from helpers.noise import hiss
from helpers.ranks import copies
from helpers.videos import record
from sordino.assets import DEFAULT_STUDENT, students
from sordino.audio.sound_files import read
from sordino.cli.main import main
from sordino.data.voices import Voice, speak
from sordino.training import read_log

QUICK = "unet-24"
"""A student that goes on in the place of the default one, as it is exported in a fraction of the time."""
PHONE = 48000
PAUSE_S, SPEECH_S = 0.8, 1.6


@pytest.fixture
def home(own_code: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(own_code)
    return own_code


def walk(title: str) -> None:
    """Write the files of a section and run its commands, but for pip, in their order."""
    for block in blocks_of(section(README, title)):
        if block.title:
            Path(block.title).write_text(block.text if block.language == "python" else shortened(block.text))
        for words in commands_of([block]):
            if words[0] == "sordino":
                main(words[1:])
            if words[:2] == ["sordino", "new"]:
                recipe = Path(f"{words[2]}.yaml")
                short = shortened(recipe.read_text(), 1.0)  # the perceptual loss needs a second
                recipe.write_text(short.replace(DEFAULT_STUDENT, QUICK))


def collect(folder: Path, rate: int) -> None:
    """Record four talkers at 16 kHz and noise on four streets."""
    rng = np.random.default_rng(0)
    for who in ("ann", "ben", "eve", "ida"):
        write_spoken(folder / "unused.wav", folder / "my" / "speech" / who / "1.wav", rng)
        write_spoken(folder / "my" / "noise" / f"{who}-street.wav", folder / "unused.wav", rng, rate=rate)


def energy(audio: np.ndarray, low: float, high: float) -> float:
    """Of what lies between two frequencies in Hz of [C,T] at 48 kHz."""
    spectrum = np.fft.rfft(audio)
    hertz = np.fft.rfftfreq(audio.shape[-1], 1 / PHONE)
    return float(np.sum(np.abs(spectrum[:, (hertz >= low) & (hertz < high)]) ** 2))


@pytest.mark.usefixtures("home")
def test_a_person_with_a_noisy_video_gets_its_sound_cleaned_whole_and_with_its_high_band(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(1)
    talk = np.pad(speak(rng, Voice.draw(rng), SPEECH_S, PHONE), round(PAUSE_S * PHONE))
    seconds = len(talk) / PHONE
    filmed = np.stack([talk + hiss(seconds, seed=side, rate=PHONE, level=0.02) for side in (0, 1)])
    record(Path("video.mp4"), "aac", PHONE, filmed, pictures=5)
    soundfile.write("noisy.wav", np.stack(spoken(rng, 1.0, 44100), axis=1), 44100)
    walk("Use a student")

    printed = capsys.readouterr().out
    assert all(name in printed for name in ("clean.wav", "video.wav", *students()))
    assert (soundfile.info("clean.wav").samplerate, soundfile.info("clean.wav").frames) == (44100, 44100)
    (noisy, _), (clean, rate) = read("video.mp4"), read("video.wav")
    assert (rate, clean.shape) == (PHONE, noisy.shape)
    assert abs(noisy.shape[1] - len(talk)) < 0.1 * PHONE  # AAC has whole frames
    edge, silent = round(0.1 * PHONE), round(PAUSE_S * PHONE)
    pause, speech = slice(edge, silent - edge), slice(silent, -silent)
    for low, high, least in ((50, 8000, 0.5), (8200, 20000, 0.01)):
        assert energy(clean[:, pause], low, high) < 0.1 * energy(noisy[:, pause], low, high)
        # These voices have little above 4 kHz, and the band above 8 kHz follows; without it, nothing would be left.
        assert energy(clean[:, speech], low, high) > least * energy(np.stack([talk, talk])[:, speech], low, high)


@pytest.mark.slow
def test_an_engineer_with_noises_of_her_own_trains_scores_exports_and_uses_a_student(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(home, rate=44100)
    write_spoken(home / "noisy.wav", home / "unused.wav", np.random.default_rng(2), rate=PHONE)
    walk("Your own noises")

    printed = capsys.readouterr().out
    assert "sordino data prepare my my-16k" in printed, "new names what the section does next"
    assert "every recording can be read" in printed
    for row in ("noisy", DEFAULT_STUDENT, "my"):
        assert re.search(rf"^{row} .*\d", printed, re.MULTILINE), printed
    assert yaml.safe_load(Path("runs/my/recipe.yaml").read_text())["data"]["noise"] == "my-16k/noise"
    before, after = (sordino.load(one).state_dict() for one in (QUICK, "runs/my/last.safetensors"))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    noisy, rate = soundfile.read("noisy.wav", dtype="float32")
    better, same_rate = soundfile.read("better.wav", dtype="float32")
    assert (same_rate, len(better)) == (rate, len(noisy)) == (PHONE, len(noisy))
    trained = sordino.enhance(noisy, rate, "runs/my/best.safetensors")
    assert np.abs(better - trained).max() < 1e-3 < np.abs(better - noisy).max()
    assert Path("my.stream.onnx").is_file()


def test_a_researcher_with_a_method_of_his_own_trains_with_it_and_finds_it_in_the_table(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies()  # of which a study makes its runs
    collect(home, rate=16000)
    walk("Your own method")

    assert re.search(r"gradient to the student alone +holds", capsys.readouterr().out)
    assert read_log(Path("runs/mine"))[0]["kd/my_method:Envelope"] > 0
    assert "my_method:Envelope" in Path("runs/mine/recipe.yaml").read_text()
    table = Path("runs/studies/study/table.md").read_text()
    for row in ("none", "envelope"):
        assert re.search(rf"^\|.* {row} \|.*\d", table, re.MULTILINE), table
