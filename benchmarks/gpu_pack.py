"""Code and corpus in one file, for a GPU machine that takes little and reaches nothing outside it.

    python benchmarks/gpu_pack.py runs/gpu-pack --corpus data/corpus
    python benchmarks/gpu_pack.py runs/gpu-pack --corpus data/corpus --wheels

The folder holds ``code/`` (what git knows of src, benchmarks and the project's files, at HEAD), ``corpus/`` (clean
speech and noise as Ogg Opus, test pairs as FLAC, unchanged), with --wheels ``wheels/``, and ``pack.tar``, all of it.
There, with torch and numpy at hand:

    tar xf pack.tar && pip install --no-index --no-deps --find-links wheels wheels/*.whl
    PYTHONPATH=code/src python code/benchmarks/gpu_train.py code/benchmarks/gpu/*.yaml --data corpus --out weights

Wheels are for the Python and the platform that packs. A pack above --limit is refused with the sizes of its parts:
lower --kbits, leave out sources of noise by --exclude, or send code and corpus apart.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from multiprocessing import get_context
from pathlib import Path

import soundfile

from sordino.audio.folders import list_audio
from sordino.errors import InputError
from sordino.files import atomic

ROOT = Path(__file__).resolve().parents[1]
CODE = ("src", "benchmarks/gpu", "benchmarks/gpu_train.py", "benchmarks/gpu_weights.py", "pyproject.toml", "LICENSE")
MIB = 2**20
OPUS_KBITS = (6, 256)  # of one channel, at libsndfile's highest and lowest compression

# What training needs beside torch and numpy, and whatever these need in their turn.
NEEDED = (
    "soundfile",
    "soxr",
    "lightning-fabric",
    "jsonargparse",
    "safetensors",
    "tensorboard",
    "pesq",
    "PyYAML",
    "rich",
)
THERE = ("torch", "numpy", "setuptools", "packaging", "typing_extensions", "fsspec", "onnxruntime")


def encode(source: Path, target: Path, kbits: float) -> None:
    """Write a recording as Ogg Opus at about ``kbits`` kbit/s."""
    samples, rate = soundfile.read(source, dtype="float32")
    least, most = OPUS_KBITS
    level = min(max((most - kbits) / (most - least), 0), 1)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic(target) as temporary:
        soundfile.write(temporary, samples, rate, format="OGG", subtype="OPUS", compression_level=level)


def pack_corpus(corpus: Path, out: Path, kbits: float, exclude: Sequence[str], workers: int) -> None:
    """Write ``clean`` and ``noise`` of a corpus as Opus, and ``pairs`` as they are; what is there already stays.

    Args:
        corpus: with clean/, noise/ and pairs/.
        out: the packed corpus.
        kbits: of a channel.
        exclude: folders of sources to leave out.
        workers: processes.

    Raises:
        InputError: a folder is missing.
    """
    for part in ("clean", "noise", "pairs"):
        if not (corpus / part).is_dir():
            raise InputError(corpus / part, "there is no such folder", "a corpus with clean/, noise/ and pairs/")
    sources = [path for part in ("clean", "noise") for path in list_audio(corpus / part)]
    sources = [path for path in sources if not set(path.relative_to(corpus).parts) & set(exclude)]
    jobs = [(path, out / path.relative_to(corpus).with_suffix(".ogg")) for path in sources]
    todo = [job for job in jobs if not job[1].is_file()]
    if workers <= 1:
        for source, target in todo:
            encode(source, target, kbits)
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            list(pool.map(partial(encode, kbits=kbits), *zip(*todo, strict=True), chunksize=16) if todo else ())
    shutil.copytree(corpus / "pairs", out / "pairs", dirs_exist_ok=True)
    for note in (path for path in corpus.iterdir() if path.is_file()):
        shutil.copy(note, out / note.name)  # licences and attributions travel with the sound


def pack_code(out: Path) -> None:
    """Write what training needs of the project as it is at HEAD."""
    out.mkdir(parents=True, exist_ok=True)
    # Students that ship, fonts and pages are of no use there, and larger than the rest.
    words = [
        "git",
        "-C",
        str(ROOT),
        "archive",
        "HEAD",
        *CODE,
        ":!src/sordino/assets/models",
        ":!src/sordino/assets/site",
    ]
    archive = subprocess.run(words, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(out)], input=archive, check=True)


def closure(names: Sequence[str], there: Sequence[str] = THERE) -> list[str]:
    """``name==version`` of packages that are installed here and of all that they require, but of what is ``there``."""
    known = {_plain(name) for name in there}
    found: dict[str, str] = {}
    todo = list(names)
    while todo:
        name = _plain(todo.pop())
        if name in known:
            continue
        known.add(name)
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # required on other platforms only
        todo += [re.split(r"[ ;<>=!~\[(]", one, maxsplit=1)[0] for one in requires(name) or () if "extra ==" not in one]
    return [f"{name}=={number}" for name, number in sorted(found.items())]


def pack_wheels(out: Path) -> None:
    """Download, or build where there is only a source, a wheel of each package that training needs."""
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), *closure(NEEDED)]
    subprocess.run([sys.executable, *words], check=True)


def pack(out: Path, limit_mib: float) -> dict[str, float]:
    """Put the folders of a pack into ``pack.tar``; returns the MiB of each, and of the file as ``pack.tar``.

    Raises:
        InputError: the file would be larger than the limit.
    """
    parts = [path for path in sorted(out.iterdir()) if path.is_dir()]
    sizes = {path.name: _bytes(path) / MIB for path in parts}
    target = out / "pack.tar"
    with atomic(target) as temporary, tarfile.open(temporary, "w") as tar:
        for path in parts:
            tar.add(path, path.name)
    sizes[target.name] = target.stat().st_size / MIB
    if sizes[target.name] > limit_mib:
        target.unlink()
        listed = ", ".join(f"{name} {size:.1f}" for name, size in sizes.items())
        raise InputError(out, f"{listed} MiB", f"at most {limit_mib:g}", "lower --kbits, or --exclude sources")
    return sizes


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def main(words: Sequence[str] | None = None) -> None:
    """Read the words typed, pack, and print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the pack")
    parser.add_argument("--corpus", type=Path, required=True, help="with clean/, noise/ and pairs/")
    parser.add_argument("--kbits", type=float, default=48.0, help="of clean speech and noise (default 48)")
    parser.add_argument("--exclude", nargs="*", default=["esc50-cc0"], help="sources to leave out (default esc50-cc0)")
    parser.add_argument("--wheels", action="store_true", help="pack what training needs beside torch and numpy")
    parser.add_argument("--limit", type=float, default=64.0, help="MiB of the whole pack (default 64)")
    parser.add_argument("--workers", type=int, default=1, help="processes that encode (default 1)")
    given = parser.parse_args(words)
    pack_code(given.out / "code")
    pack_corpus(given.corpus, given.out / "corpus", given.kbits, given.exclude, given.workers)
    if given.wheels:
        pack_wheels(given.out / "wheels")
    for name, size in pack(given.out, given.limit).items():
        print(f"{name:10} {size:6.1f} MiB")


if __name__ == "__main__":
    main()
