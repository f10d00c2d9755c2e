"""Recordings at 48 kHz and a model for 16 kHz: what becomes of the band above 8 kHz by `drop`, `keep` and `follow`.

Clean speech in which something lies above 8 kHz, mixed at 48 kHz with noise of which the same is true. Both come from
packages of Debian, unpacked into one folder:

    apt-get download alsa-utils unknown-horizons ktuberling-data bucklespring-data
    for package in *.deb; do dpkg -x $package sounds; done
    python benchmarks/high_band.py sounds --out benchmarks/results/high-band.md --picture docs/high-band.png
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import few_colours
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from paired import alternate, machine

from sordino import Streamer
from sordino.audio.folders import list_audio
from sordino.audio.sound_files import read_mono
from sordino.files import write_text
from sordino.inference import high_band
from sordino.inference.engine import open_engine
from sordino.inference.enhance import enhance
from sordino.inference.model import open_model
from sordino.report.table import Table, write_tables

RATE, PAUSE_S, SECONDS, SPEECH_DB = 48000, 0.5, 12.0, -26.0
SPEECH = {
    "English, alsa-utils": "usr/share/sounds/alsa",
    "English, unknown-horizons": "usr/share/unknown-horizons/content/audio/voice/en",
    "German, unknown-horizons": "usr/share/unknown-horizons/content/audio/voice/de",
    "Lithuanian, ktuberling": "usr/share/ktuberling/sounds/lt",
    "Ukrainian, ktuberling": "usr/share/ktuberling/sounds/uk",
    "Greek, ktuberling": "usr/share/ktuberling/sounds/el",
}
NOISE = {
    "warehouse": "usr/share/unknown-horizons/content/audio/sounds/warehouse.ogg",
    "square": "usr/share/unknown-horizons/content/audio/sounds/main_square.ogg",
    "tavern": "usr/share/unknown-horizons/content/audio/sounds/tavern.ogg",
    "windmill": "usr/share/unknown-horizons/content/audio/sounds/windmill.ogg",
    "typing": "usr/share/buckle/wav",
}
SNRS_DB = (0.0, 10.0)
WAYS: dict[str, dict[str, Any]] = {
    "drop": {"high_band": "drop"},
    "keep": {"high_band": "keep"},
    "follow": {"high_band": "follow"},
    "follow, strength 12": {"high_band": "follow", "strength_db": 12.0},
}
SETTINGS: dict[str, dict[str, float]] = {
    "window of 4 ms": {"WINDOW_S": 0.004},
    "window of 16 ms": {"WINDOW_S": 0.016},
    "window of 32 ms": {"WINDOW_S": 0.032},
    "no look ahead": {"AHEAD": 0},
    "from 2 kHz": {"LOWEST": 0.25},
    "from 6 kHz": {"LOWEST": 0.75},
}
HEADER = ["", "LSD in speech", "Pauses, re noisy", "Speech, re clean", "SNR"]
BAND_HZ, FFT, HOP, FLOOR_DB = (8200.0, 20000.0), 2048, 512, -100.0
SHOWN = ("Lithuanian, ktuberling", "warehouse", 0.0)
PANELS, SHOWN_S = ("clean", "drop", "keep", "follow"), 4.0

Pair = tuple[np.ndarray, np.ndarray]
"""Clean and noisy, [T] each."""


def main() -> None:
    """Read the command line, measure, show the tables and write them and the picture where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path, help="the folder with the unpacked packages")
    parser.add_argument("--model", default="unet-24", help="a model that streams (default unet-24)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of stream whose hops are timed (default 5)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of the timing (default 5)")
    parser.add_argument("--out", type=Path, help="write the report there")
    parser.add_argument("--picture", type=Path, help="write the spectrograms there, .png")
    given = parser.parse_args()
    pairs = mixtures(given.sounds)
    process = partial(enhance, sample_rate=RATE, model=open_model(given.model, threads=1))
    ways = [[name, *measured(pairs, partial(process, **options))] for name, options in WAYS.items()]
    tables = [Table.of(HEADER, ways), Table.of(["follow with", *HEADER[1:]], settings(pairs, process))]
    tables.append(Table.of(["", "Hop, p50", "Of drop"], hops(given), [machine(1)]))
    print(write_tables(tables, "markdown"))
    if given.out:
        write_text(given.out, f"# {(__doc__ or '').partition(chr(10))[0]}\n\n{write_tables(tables, 'markdown')}")
    if given.picture:
        clean, noisy = pairs[SHOWN]
        waves = {name: process(noisy, **options) for name, options in WAYS.items()} | {"clean": clean}
        draw({name: waves[name] for name in PANELS}, given.picture)


def mixtures(sounds: Path) -> dict[tuple[str, str, float], Pair]:
    """Mix every voice with every noise at every SNR: clean and noisy, [T] each."""
    speech = {name: joined(sounds / folder, PAUSE_S) for name, folder in SPEECH.items()}
    noises = {name: joined(sounds / place, 0.0) for name, place in NOISE.items()}
    pairs: dict[tuple[str, str, float], Pair] = {}
    for voice, kind, snr_db in product(SPEECH, NOISE, SNRS_DB):
        clean = speech[voice] * np.float32(10 ** (SPEECH_DB / 20) / rms(speech[voice]))
        noise = np.resize(noises[kind], len(clean))
        pairs[voice, kind, snr_db] = clean, clean + noise * np.float32(10 ** ((SPEECH_DB - snr_db) / 20) / rms(noise))
    return pairs


def joined(place: Path, pause_s: float) -> np.ndarray:
    """Join the recordings of a folder, or take one file, [T] of about ``SECONDS``; digital silence between words."""
    files = sorted(list_audio(place)) if place.is_dir() else [place]
    pause = np.zeros(round(pause_s * RATE), np.float32)
    parts = [pause]
    for path in files:
        if path.stem != "Noise":
            parts += [read_mono(path, RATE), pause]
        if sum(map(len, parts)) > SECONDS * RATE:
            break
    return np.concatenate(parts)


def rms(audio: np.ndarray) -> float:
    """The level of what is not digital silence."""
    return float(np.sqrt(np.square(audio[audio != 0]).mean(dtype=float)))


def settings(pairs: Mapping[Any, Pair], process: Callable[..., np.ndarray]) -> list[list[str]]:
    """Measure ``follow`` with its window, its look ahead and its band changed one by one."""
    rows: list[list[str]] = []
    for name, values in SETTINGS.items():
        with ExitStack() as stack:
            for constant, value in values.items():
                stack.enter_context(patch.object(high_band, constant, value))
            rows.append([name, *measured(pairs, process)])
    return rows


def measured(pairs: Mapping[Any, Pair], process: Callable[[np.ndarray], np.ndarray]) -> list[str]:
    """The means over all mixtures of what ``figures`` returns."""
    means = np.mean([figures(clean, noisy, process(noisy)) for clean, noisy in pairs.values()], axis=0)
    print(*means, flush=True)
    return [f"{mean:.2f} dB" for mean in means]


def figures(clean: np.ndarray, noisy: np.ndarray, output: np.ndarray) -> tuple[float, float, float, float]:
    """Measure an output within ``BAND_HZ``, in dB.

    Returns:
        The log-spectral distance to clean in frames with speech, the output's energy in pauses over that of noisy, its
        energy in frames with speech over that of clean, and the ratio of clean to what differs from it.
    """
    whole, wanted, before, after = power(clean), in_band(clean), in_band(noisy), in_band(output)
    energy = whole.sum(axis=1)
    speech, pauses = energy > 1e-4 * energy.max(), energy == 0
    distance = decibels(wanted[speech]) - decibels(after[speech])
    lsd = np.sqrt(np.square(distance).mean(axis=1)).mean()
    wrong = in_band(output - clean).sum()
    ratios = (after[pauses].sum() / before[pauses].sum(), after[speech].sum() / wanted[speech].sum())
    return lsd, *(10 * np.log10(ratio + 1e-9) for ratio in ratios), 10 * np.log10(wanted.sum() / wrong)


def power(audio: np.ndarray) -> np.ndarray:
    """The power spectrum [N,F] in Hann windows; a sine at full scale has 1."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, FFT)[::HOP] * np.hanning(FFT).astype(np.float32)
    return np.square(np.abs(np.fft.rfft(frames)) / (FFT / 4))


def in_band(audio: np.ndarray) -> np.ndarray:
    """The bins of ``power`` within ``BAND_HZ``."""
    hz = np.fft.rfftfreq(FFT, 1 / RATE)
    return power(audio)[:, (hz >= BAND_HZ[0]) & (hz < BAND_HZ[1])]


def decibels(spectrum: np.ndarray) -> np.ndarray:
    """Levels, not below ``FLOOR_DB``."""
    return 10 * np.log10(np.maximum(spectrum, 10 ** (FLOOR_DB / 10)))


def hops(given: argparse.Namespace) -> list[list[str]]:
    """Time hops of 10 ms at 48 kHz with low delay, the ways in turn: the median hop, and its ratio within a round."""
    engine = open_engine(given.model, 1)
    noisy = np.random.default_rng(0).standard_normal((round(given.seconds * RATE),), np.float32) / 10
    medians: dict[str, list[float]] = {name: [] for name in WAYS}

    def work(name: str) -> None:
        streamer = Streamer(engine, RATE, low_delay=True, **WAYS[name])
        for start in range(0, len(noisy), RATE // 100):
            streamer.feed(noisy[start : start + RATE // 100])
        assert streamer.timing is not None
        medians[name].append(streamer.timing.p50_ms)

    alternate([partial(work, name) for name in WAYS], given.repeats)
    medians = {name: times[1:] for name, times in medians.items()}  # the first is the round that warms up
    ratios = {name: np.median(np.divide(times, medians["drop"])) for name, times in medians.items()}
    return [[name, f"{np.median(times):.2f} ms", f"{ratios[name]:.2f} x"] for name, times in medians.items()]


def draw(waves: Mapping[str, np.ndarray], out: Path) -> None:
    """Draw the beginning of each as a spectrogram, into one picture of few colours."""
    figure, axes = plt.subplots(1, len(waves), figsize=(10, 3), sharex=True, sharey=True, layout="constrained")
    for axis, (name, wave) in zip(axes, waves.items(), strict=True):
        levels = decibels(power(wave[: round(SHOWN_S * RATE)])).T
        shades = {"vmin": FLOOR_DB, "vmax": -40.0, "extent": (0, SHOWN_S, 0, RATE / 2000)}
        axis.imshow(levels, "magma", origin="lower", aspect="auto", **shades)
        axis.axhline(8, color="white", linewidth=0.5)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("s")
    axes[0].set_ylabel("kHz")
    few_colours.save(figure, out)


if __name__ == "__main__":
    main()
