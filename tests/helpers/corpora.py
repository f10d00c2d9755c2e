"""Small corpora as files: speech-like sound with noise in it, made in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.noise import hiss, white
from sordino.audio import sound_files
from sordino.audio.mix import mix
from sordino.data.recordings import SYNTHETIC_MARK
from sordino.data.voices import KINDS, Voice, make_noise, speak

RATE = 16000
FEW = 3
"""Recordings in the synthetic test set where tests score it, so that they take a quarter of the time; see conftest."""


def write_pair(root: Path, name: str, seed: int, seconds: float = 0.5, rate: int = RATE) -> None:
    """Write ``clean/name`` and its partner ``noisy/name`` below ``root``: white noise, and more of it."""
    clean = hiss(seconds, seed=seed, rate=rate)
    sound_files.write(root / "clean" / name, clean, rate)
    sound_files.write(root / "noisy" / name, clean + hiss(seconds, seed=seed + 500, rate=rate), rate)


def write_pairs(
    folder: Path, speakers: int = 4, each: int = 2, seconds: float = 1.2, level: float = 0.02
) -> tuple[str, str]:
    """Write ``noisy/`` and ``clean/`` below ``folder``, files such as ``s0_1.wav``; returns the two folders."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SYNTHETIC_MARK).write_text("Made from nothing by the tests.\n")
    for speaker in range(speakers):
        generator = np.random.default_rng(speaker)
        voice = Voice.draw(generator)
        for number in range(each):
            clean = speak(generator, voice, seconds, RATE)
            name = f"s{speaker}_{number}.wav"
            sound_files.write(folder / "clean" / name, clean, RATE)
            sound_files.write(folder / "noisy" / name, clean + white(len(clean), seed=number, level=level), RATE)
    return str(folder / "noisy"), str(folder / "clean")


def spoken(rng: np.random.Generator, seconds: float, rate: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    """A synthetic utterance with noise of any kind 5 dB below it, and without: [T] each."""
    clean = speak(rng, Voice.draw(rng), seconds, rate)
    noisy, clean, _ = mix(clean, make_noise(rng, str(rng.choice(list(KINDS))), seconds, rate), 5.0)
    return noisy, clean


def write_spoken(noisy: Path, clean: Path, rng: np.random.Generator, seconds: float = 1.6, rate: int = RATE) -> None:
    """Write the two waves of ``spoken`` into two files."""
    for path, wave in zip((noisy, clean), spoken(rng, seconds, rate), strict=True):
        sound_files.write(path, wave, rate)


def write_valentini_pair(root: Path, part: str, name: str, seconds: float, seed: int = 0) -> None:
    """Write white noise, and more of it, into the two folders of a part such as ``testset``."""
    clean, noise = hiss(seconds, seed=seed), hiss(seconds, seed=seed + 1000)
    sound_files.write(root / f"clean_{part}_wav" / f"{name}.wav", clean, 16000)
    sound_files.write(root / f"noisy_{part}_wav" / f"{name}.wav", clean + noise, 16000)


def write_valentini(folder: Path) -> None:
    """Write recordings of four voices to train on, two to validate and two to test with, in Valentini's layout."""
    lengths = {"p226_001": 2.0, "p226_002": 4.0, "p227_001": 4.5, "p228_003": 6.2, "p282_001": 2.5, "p287_001": 1.5}
    for seed, (name, seconds) in enumerate(lengths.items()):
        write_valentini_pair(folder, "trainset_28spk", name, seconds, seed)
    for seed, name in enumerate(("p232_001", "p257_001")):
        write_valentini_pair(folder, "testset", name, 1.5, 50 + seed)
