"""Write the page of the docs that plays what the default student makes of three recordings.

    python benchmarks/listening.py data/corpus/pairs/voicebank-demand-test docs/listen

It writes index.md, and the sounds and spectrograms beside it. The three are not picked by ear: the worst, the median
and the best by how much STOI rises.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import few_colours
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import soundfile
from scipy.signal import spectrogram

import sordino
from sordino.assets import DEFAULT_STUDENT
from sordino.audio.sound_files import read_mono
from sordino.evaluation.score import Scores
from sordino.files import atomic, write_text

RATE, MOST_S = 16000, 5.0
PLACES = ("the worst", "the median", "the best")
PAGE = """# Listen

Listen to noisy speech before and after the default student. To enhance your own recording:

```sh
sordino enhance noisy.wav -o clean.wav
```

The recordings are three of the {count} pairs of the [results](../results.md): the worst, the median and the best by the
change in STOI. They were not chosen by listening. [The page of `sordino serve`](../serve.md) plays your own
recordings in this way, and the page of `sordino report` those of your runs.

{examples}

The recordings are from VoiceBank-DEMAND: C. Valentini-Botinhao, University of Edinburgh 2017,
[doi 10.7488/ds/2117](https://doi.org/10.7488/ds/2117), CC BY 4.0. They were not used to train
the student or to choose its checkpoint. Spectrograms: time across, frequency up to 8 kHz, the same colours in all.
Written by `benchmarks/listening.py`.
"""


def main() -> None:
    """Choose three recordings, and write the page with all that it plays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, help="a folder with noisy/ and clean/")
    parser.add_argument("out", type=Path, help="the folder of the page")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    examples = []
    gains = ranked(given.pairs)
    for (name, before, after), place in zip((gains[0], gains[len(gains) // 2], gains[-1]), PLACES, strict=True):
        waves = versions(given.pairs, name)
        draw(waves, given.out / f"{name}.png")
        for version, samples in waves.items():
            with atomic(given.out / f"{name}-{version}.mp3") as temporary:
                soundfile.write(temporary, samples, RATE, format="MP3", subtype="MPEG_LAYER_III")
        examples.append(section(name, list(waves), f"{place}: STOI {100 * before:.1f} to {100 * after:.1f} %"))
    write_text(given.out / "index.md", PAGE.format(count=len(gains), examples="\n\n".join(examples)))


def ranked(pairs: Path) -> list[tuple[str, float, float]]:
    """Return the names of all recordings with their STOI before and after, those that gain least first."""
    folders = (pairs / "noisy", pairs / "clean")
    noisy, student = (
        sordino.evaluate(model, folders, metrics=["stoi"], sample_rate=RATE) for model in (None, DEFAULT_STUDENT)
    )
    before, after = stoi(noisy), stoi(student)
    order = sorted(before, key=lambda name: after[name] - before[name])
    return [(name, before[name], after[name]) for name in order]


def stoi(scores: Scores) -> dict[str, float]:
    """Return the STOI of each recording."""
    return {str(row["id"]): float(row["stoi"]) for row in scores.rows}


def versions(pairs: Path, name: str) -> dict[str, np.ndarray]:
    """Return the first seconds of a recording as it was, as the student makes it, and clean: float32 ``[T]`` each."""
    noisy, clean = (read_mono(next((pairs / side).glob(f"{name}.*")), RATE) for side in ("noisy", "clean"))
    waves = {"noisy": noisy, DEFAULT_STUDENT: sordino.enhance(noisy, RATE), "clean": clean}
    return {version: samples[: round(MOST_S * RATE)] for version, samples in waves.items()}


def draw(waves: dict[str, np.ndarray], path: Path) -> None:
    """Draw the spectrograms of all versions side by side, into one picture of few colours."""
    figure, axes = plt.subplots(1, len(waves), figsize=(9, 2.3), sharey=True, layout="constrained")
    for axis, (version, samples) in zip(axes, waves.items(), strict=True):
        hz, seconds, power = spectrogram(samples, RATE, nperseg=512, noverlap=352)
        decibels = 10 * np.log10(power + 1e-12)
        axis.pcolormesh(seconds, hz / 1000, decibels, vmin=-100, vmax=-40, cmap="magma", rasterized=True)
        axis.set_title(version, fontsize=9)
        axis.set_xlabel("s")
    axes[0].set_ylabel("kHz")
    few_colours.save(figure, path)
    plt.close(figure)


def section(name: str, listed: list[str], heading: str) -> str:
    """Return the part of the page with one recording."""
    players = "\n".join(
        f'<p>{version}<br><audio controls preload="none" src="{name}-{version}.mp3"></audio></p>' for version in listed
    )
    picture = f"![Spectrograms of {name}: {', '.join(listed)}]({name}.png)"
    return f"## {heading[0].upper()}{heading[1:]}\n\n{picture}\n\n{players}"


if __name__ == "__main__":
    main()
