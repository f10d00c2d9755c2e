"""An experiment at 48 kHz: the little full-band speech of Debian's packages, a student for it, and what it is worth.

The packages are those of benchmarks/high_band.py and two more, unpacked into one folder:

    apt-get download alsa-utils unknown-horizons ktuberling-data bucklespring-data klettres-data colobot-common-sounds
    for package in *.deb; do dpkg -x $package sounds; done
    python benchmarks/full_band.py prepare sounds data/full-band
    sordino train benchmarks/real/full-band.yaml
    python benchmarks/full_band.py score sounds runs/real/full-band/best.safetensors

The voices and noises of high_band.py are kept for the scores; no language of theirs trains.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from high_band import FFT, HEADER, PAUSE_S, RATE, figures, mixtures, power
from paired import machine

from sordino.audio.folders import list_audio
from sordino.audio.sound_files import read_mono, write
from sordino.files import write_text
from sordino.inference.enhance import enhance
from sordino.inference.model import open_model
from sordino.metrics import METRICS, measure
from sordino.report.table import Table, write_tables

SPEECH = ("usr/share/klettres/*/*", "usr/share/ktuberling/sounds/*")
NOISE = (
    *("usr/share/unknown-horizons/content/audio/sounds", "usr/share/unknown-horizons/content/audio/music"),
    *("usr/share/games/colobot/sounds", "usr/share/games/colobot/music"),
)
HELD_OUT = {"en", "en_GB", "de", "lt", "uk", "el"} | {"warehouse", "main_square", "tavern", "windmill"}
"""Languages and files that high_band.py measures on."""
FULL_BAND_HZ = 44100
WORDS_S = 10.0
LEAST_DB = -45.0
"""Of the energy, above 8 kHz: recordings with less were narrow before they were coded."""
WAYS: dict[str, dict[str, Any]] = {name: {"high_band": name} for name in ("drop", "keep", "follow")}
MEASURED = ("pesq_wb", "stoi", "si_sdr_db", "dnsmos")


def main() -> None:
    """Read the command line, and prepare the corpus or score a student."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("prepare", help="write the corpus")
    first.add_argument("sounds", type=Path, help="the folder with the unpacked packages")
    first.add_argument("out", type=Path, help="folder of the corpus")
    first.set_defaults(run=lambda given: prepare(given.sounds, given.out))
    second = commands.add_parser("score", help="measure a student at 48 kHz beside the default one")
    second.add_argument("sounds", type=Path, help="as above")
    second.add_argument("student", type=Path, help="checkpoint of a network at 48 kHz")
    second.add_argument("--out", type=Path, help="write the tables there")
    second.set_defaults(run=score)
    given = parser.parse_args()
    given.run(given)


def prepare(sounds: Path, out: Path) -> None:
    """Write clean/ and noise/: mono at 48 kHz, the words of a voice joined with pauses between them."""
    minutes = dict.fromkeys(("clean", "noise"), 0.0)
    for pattern in SPEECH:
        for folder in sorted(sounds.glob(pattern)):
            language = folder.relative_to(sounds).parts[3 if "klettres" in pattern else 4]
            if not folder.is_dir() or language in HELD_OUT:
                continue
            voice = "-".join(folder.relative_to(sounds / "usr/share").parts)
            for number, wave in enumerate(joined(folder)):
                write(out / "clean" / f"{voice}-{number:02}.flac", wave, RATE)
                minutes["clean"] += len(wave) / RATE / 60
    for place in NOISE:
        for path in full_band(sounds / place):
            if path.stem not in HELD_OUT:
                wave = read_mono(path, RATE)
                write(out / "noise" / f"{path.parent.name}-{path.stem}.flac", wave, RATE)
                minutes["noise"] += len(wave) / RATE / 60
    print({name: round(value, 1) for name, value in minutes.items()})


def full_band(folder: Path) -> Iterator[Path]:
    """Recordings of a folder at 44.1 kHz or more with energy above 8 kHz."""
    for path in sorted(list_audio(folder)):
        if sf.info(path).samplerate >= FULL_BAND_HZ:
            wave = read_mono(path, RATE)
            bands = power(np.pad(wave, (0, FFT))).sum(axis=0)
            above = bands[round(8000 * FFT / RATE) :].sum() / (bands.sum() + 1e-20)
            if 10 * np.log10(above + 1e-20) > LEAST_DB:
                yield path


def joined(folder: Path) -> Iterator[np.ndarray]:
    """Join the words of a folder to recordings of some ``WORDS_S`` seconds."""
    parts, pause = [], np.zeros(round(PAUSE_S / 2 * RATE), np.float32)
    for path in full_band(folder):
        parts += [read_mono(path, RATE), pause]
        if sum(map(len, parts)) > WORDS_S * RATE:
            yield np.concatenate(parts)
            parts = []
    if parts:
        yield np.concatenate(parts)


def score(given: argparse.Namespace) -> None:
    """Measure the noisy sound, the default student with its ways for the band above, and the student at 48 kHz."""
    pairs = mixtures(given.sounds)
    default, student = open_model(None, threads=1), open_model(given.student, threads=1)
    processes: dict[str, Callable[[np.ndarray], np.ndarray]] = {"noisy": lambda noisy: noisy}
    for name, options in WAYS.items():
        processes[f"default, {name}"] = lambda noisy, options=options: enhance(noisy, RATE, model=default, **options)
    processes["at 48 kHz"] = lambda noisy: enhance(noisy, RATE, model=student)
    rows = [[name, *measured(pairs, process)] for name, process in processes.items()]
    columns = [column for name in MEASURED for column in METRICS[name].columns.values()]
    table = Table.of(["", *(column.label for column in columns), *HEADER[1:]], rows, [machine(1)])
    print(write_tables([table], "markdown"))
    if given.out:
        write_text(given.out, write_tables([table], "markdown"))


def measured(pairs: Mapping[Any, tuple[np.ndarray, np.ndarray]], process: Callable[..., np.ndarray]) -> list[str]:
    """Means over the mixtures: the usual measures, then those above 8 kHz."""
    values, above = [], []
    for clean, noisy in pairs.values():
        estimate = process(noisy)
        values.append(measure(clean, estimate, RATE, MEASURED).values)
        above.append(figures(clean, noisy, estimate))
    columns = {key: column for name in MEASURED for key, column in METRICS[name].columns.items()}
    means = [column.show(float(np.mean([one[key] for one in values if key in one]))) for key, column in columns.items()]
    return [*means, *(f"{mean:.2f} dB" for mean in np.mean(above, axis=0))]


if __name__ == "__main__":
    main()
