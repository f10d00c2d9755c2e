"""One minute and one hour of sound: peak memory and time of a file, and of a folder by one thread and by all.

The sound is the package's speech over and over, stereo at 48 kHz. Each file is enhanced in a fresh process; its peak is
all of its resident set, libraries and model with it, as Linux tells it. A model may be a function, such as
``numpy:positive``, which changes nothing and shows what files alone need.

    python benchmarks/length.py --minutes 1 60 --out benchmarks/results/length.md
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from paired import alternate, machine

from sordino.assets import SPEECH
from sordino.audio import sound_files
from sordino.audio.encoding import encoder
from sordino.files import write_text
from sordino.inference.folders import enhance_folder
from sordino.inference.model import open_model

RATE = 48000
FOLDER = 12
PEAK = """
import sys
from sordino.inference.files import enhance_file
enhance_file(*sys.argv[1:])
(line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(line.split()[1])
"""


def main() -> None:
    """Read the command line, measure, show the tables and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["unet-24", "manner-s-1.5gf"], help="names or files")
    parser.add_argument("--minutes", nargs="+", type=int, default=[1, 60], help="lengths of the files")
    parser.add_argument("--repeats", type=int, default=3, help="rounds over the folder (default 3)")
    parser.add_argument("--out", type=Path, help="write the report there")
    given = parser.parse_args()
    lines = [
        f"# {(__doc__ or '').partition(chr(10))[0]}",
        "",
        "| Model | Length | Peak | Time |",
        "|---|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for model in given.models:
            for minutes in given.minutes:
                lines.append(one_file(model, minutes, Path(folder)))
                print(lines[-1], flush=True)
        lines += ["", "| Model | Folder | One thread | All cores | Faster |", "|---|---:|---:|---:|---:|"]
        for model in given.models:
            lines.append(one_folder(model, Path(folder), given.repeats))
            print(lines[-1], flush=True)
    if given.out:
        write_text(given.out, "\n".join([*lines, "", f"{machine(os.cpu_count() or 1)}", ""]))


def one_file(model: str, minutes: int, folder: Path) -> str:
    """A row: peak and time of one file."""
    source, target = folder / f"{minutes}.flac", folder / "out.flac"
    if not source.exists():
        with encoder(source, RATE, 2) as put:
            for _ in range(minutes):
                put(stereo(60.0))
    began = time.perf_counter()
    words = [sys.executable, "-c", PEAK, str(source), str(target), model]
    peak = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return f"| {model} | {minutes} min | {peak / 1024:.0f} MB | {time.perf_counter() - began:.1f} s |"


def one_folder(model: str, folder: Path, repeats: int) -> str:
    """A row: a folder enhanced file by file with one thread, and by as many threads as there are cores."""
    source = folder / "many"
    if not source.exists():
        for index in range(FOLDER):
            sound_files.write(source / f"{index}.flac", stereo(10.0), RATE)
    opened = open_model(model, threads=1)
    works = [partial(all_of, source, folder / f"by {workers}", opened, workers) for workers in (1, os.cpu_count() or 1)]
    rounds = alternate(works, repeats)
    one, many = np.median(rounds, axis=0)
    faster = np.median([alone / together for alone, together in rounds])
    return f"| {model} | {FOLDER} x 10 s | {one:.2f} s | {many:.2f} s | {faster:.2f} x |"


def all_of(source: Path, target: Path, model: object, workers: int) -> None:
    """Enhance a folder; every file must come out."""
    for report in enhance_folder(source, target, model, workers=workers):
        if "error" in report:
            raise SystemExit(report["error"])


def stereo(seconds: float) -> np.ndarray:
    """Speech, [2,T], repeated until it lasts that long."""
    speech, rate = sound_files.read(Path(str(SPEECH)), RATE)
    return np.resize(speech[0], (2, round(seconds * rate)))


if __name__ == "__main__":
    main()
