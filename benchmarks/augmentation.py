"""Show what each argument of ``data.augment`` does: a spectrogram of each, from the speech that ships.

    python benchmarks/augmentation.py docs/augmentation.png

Speech is CC0 (Common Voice, Upper Sorbian), noise is synthesised. Every panel is the same mixture with one degradation.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import few_colours
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from scipy.signal import spectrogram

from sordino.assets import SPEECH
from sordino.audio.sound_files import read_mono
from sordino.data.augmentation import NOTHING, Augmentation
from sordino.data.augmentation_apply import Degrader, MixtureParts
from sordino.data.voices import KINDS, make_noise

RATE, SECONDS, SNR_DB, LEVEL_DB, SEED = 16000, 3.0, 20.0, -25.0, 2
PANELS: dict[str, Augmentation] = {
    "none of it, 20 dB": NOTHING,
    "shaping: 1": replace(NOTHING, shaping=1.0, shaping_db=15.0),
    "noises: 1": replace(NOTHING, noises=1.0),
    "bursts: 1": replace(NOTHING, bursts=1.0, bursts_db=(15.0, 15.0)),
    "rumble: 1": replace(NOTHING, rumble=1.0, rumble_db=(15.0, 15.0)),
    "hum: 1": replace(NOTHING, hum=1.0, hum_db=(10.0, 10.0)),
    "clean: 1": replace(NOTHING, clean=1.0),
    "noise_only: 1": replace(NOTHING, noise_only=1.0),
    "rooms: 1": replace(NOTHING, rooms=1.0),
    "band: 1": replace(NOTHING, band=1.0),
    "clipping: 1": replace(NOTHING, clipping=1.0, clipping_db=(15.0, 15.0)),
    "codec: 1": replace(NOTHING, codec=1.0),
}


def main() -> None:
    """Draw all panels into one picture of few colours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the picture, .png")
    out = parser.parse_args().out
    figure, axes = plt.subplots(4, 3, figsize=(9, 7.2), sharex=True, sharey=True, layout="constrained")
    for axis, (title, chances) in zip(axes.flat, PANELS.items(), strict=True):
        _show(axis, _degraded(chances), title)
    for axis in axes[:, 0]:
        axis.set_ylabel("kHz")
    for axis in axes[-1]:
        axis.set_xlabel("s")
    few_colours.save(figure, out)


def _degraded(chances: Augmentation) -> np.ndarray:
    """The mixture of the picture with some degradation, float32 ``[T]``."""
    length = round(SECONDS * RATE)
    speech = read_mono(str(SPEECH), RATE)[:length]

    def noise(rng: np.random.Generator, samples: int, kind: str | None = None) -> np.ndarray:
        return make_noise(rng, kind or str(rng.choice(sorted(KINDS))), samples / RATE, RATE)[:samples]

    sounds = MixtureParts(speech, speech, noise(np.random.default_rng(1), len(speech), "white"))
    return Degrader(chances, RATE)(np.random.default_rng(SEED), sounds, noise, SNR_DB, LEVEL_DB).noisy


def _show(axis: Axes, audio: np.ndarray, title: str) -> None:
    hz, seconds, power = spectrogram(audio, RATE, nperseg=512, noverlap=352)
    decibels = 10 * np.log10(power + 1e-12)
    axis.pcolormesh(seconds, hz / 1000, decibels, vmin=-95, vmax=-40, cmap="magma", rasterized=True)
    axis.set_title(title, fontsize=9)


if __name__ == "__main__":
    main()
