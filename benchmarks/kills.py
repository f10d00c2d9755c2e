"""Kill what takes long, again and again at random moments, resume it, and look whether anything was lost.

    python benchmarks/kills.py --kills 100 --minutes 60        # of wall-clock time, shared by the kinds of work
    python benchmarks/kills.py --minutes 4 --signal TERM

Each kind of work is done once without interruption. Then it is begun, killed after a random share of that time, and
begun again in the same folder, until it ends. This is repeated for the given number of kills or minutes. Nothing may be
lost: after every kill all processes that it had started must end, and every file with a final name must be readable.
After SIGTERM there may be no file that is half written; after SIGKILL the next start removes it. What ends must equal
the uninterrupted work: the weights bit for bit, graphs and the files of corpora byte for byte. A kill or an end for
which any of this does not hold counts as a loss.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import torch
import yaml
from safetensors.torch import load_file

from sordino import models
from sordino.audio.sound_files import read, write
from sordino.data.sources import Mix, Pairs
from sordino.data.tools.render import render
from sordino.data.tools.shard import shard
from sordino.distributed import stop_on
from sordino.experiments import run, study
from sordino.experiments.run_recipe import RECIPE
from sordino.experiments.study_plan import read_study
from sordino.export import onnx_files
from sordino.report.table import Cell, Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.processes import alive

RATE, STEPS = 16000, 12
PATIENCE_S = 120
PART = "sordino-part"
PRELOAD = ["lightning_fabric", "pesq", "pystoi", "torch.onnx", "torch.utils.tensorboard"]
PRELOAD += [f"sordino.{name}" for name in ("data.tools.render", "data.tools.shard", "experiments.study", "export")]
UNET = {"name": "unet", "width": 4, "depth": 2, "groups": 1}
TRAIN = {"steps": STEPS, "batch_size": 2, "accelerator": "cpu", "workers": 1, "threads": 1, "log_every": 1}
TRAIN |= {"validate_every": 6, "validate_items": 1, "save_every": 1}
DATA = {"name": "mix", "clean": "clean", "noise": "noise", "segment_s": 0.5, "valid_items": 1}
TEACHER, METHOD = {"checkpoint": "teacher.safetensors"}, {"output": {"loss": "l1"}}


def train(out: Path, **sections: Any) -> None:
    """What a user types again and again: with ``--resume`` as soon as there is a run to go on with."""
    recipe = {"data": DATA, "model": UNET, "train": TRAIN, **sections}
    run.train(recipe, out=out / "run", resume=(out / "run" / RECIPE).exists())


def cached(out: Path) -> None:
    train(out, teacher=TEACHER | {"cache": str(out / "cache"), "draws": 2}, distill=METHOD)


def exported(out: Path) -> None:
    """Export the teacher. Its translation takes most of the time and writes nothing, so it is done once: kills come
    while files are written and compared."""
    whole = partial(_kept, "whole_graph", onnx_files.whole_graph)
    step = partial(_kept, "step_graph", onnx_files.step_graph)
    with patch.object(onnx_files, "whole_graph", whole), patch.object(onnx_files, "step_graph", step):
        run.export("teacher.safetensors", out / "student.onnx")


def _kept(name: str, translate: Callable[..., onnx.ModelProto], *arguments: Any) -> onnx.ModelProto:
    if not Path(name).exists():
        onnx.save(translate(*arguments), name)
    return onnx.load(name)


def studied(out: Path) -> None:
    plan, runs = read_study("study.yaml")
    runs = [replace(one, folder=out / one.folder) for one in runs]
    study.run_all(replace(plan, out=str(out)), runs)


WORK: dict[str, Callable[[Path], object]] = {
    "training": train,
    "caching": cached,
    "rendering": lambda out: render(Mix("clean", "noise", segment_s=0.5, valid_items=4), out, 60 / 3600, workers=1),
    "sharding": lambda out: shard(Pairs("noisy", "clean"), out, per_shard=3, workers=1),
    "export": exported,
    "study": studied,
}


def prepare(folder: Path) -> None:
    """Write the corpus, the teacher and the recipe that all work shares."""
    rng = np.random.default_rng(0)
    for number in range(40):
        clean, noise = (0.05 * rng.standard_normal((2, RATE))).astype(np.float32)
        for kind, wave in (("clean", clean), ("noisy", clean + noise), ("noise", noise)):
            write(folder / kind / f"s{number % 6}_{number}.wav", wave, RATE)
    torch.manual_seed(1)
    models.save(models.create("unet", width=6, depth=2, groups=1), folder / "teacher.safetensors")
    pairs = {"name": "pairs", "noisy": str(folder / "noisy"), "clean": str(folder / "clean"), "segment_s": 0.5}
    for kind in ("noisy", "clean"):
        write(folder / "test" / kind / "s9.wav", read(folder / kind / "s0_0.wav")[0], RATE)
        pairs[f"test_{kind}"] = str(folder / "test" / kind)
    recipe = {"data": pairs, "model": UNET, "train": TRAIN | {"workers": 0, "steps": 4, "validate_every": 4}}
    values = {"recipe": "recipe.yaml", "out": "study", "seeds": [0], "jobs": 2, "metrics": ["si_sdr_db"]}
    values |= {"scenarios": {"all": {"teacher": TEACHER}}, "methods": {"none": {}, "output": {"distill": METHOD}}}
    for name, content in (("recipe", recipe), ("study", values)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def work(kind: str, corpus: Path, out: Path) -> None:
    """Do the work in this process, as a command does."""
    os.setsid()  # so that all its processes can be found
    multiprocessing.set_start_method("fork", force=True)  # of loaders, as in a process that a user starts
    os.chdir(corpus)
    stop_on((signal.SIGTERM,))
    torch.set_num_threads(1)
    WORK[kind](out)


READERS: dict[str, Callable[[Path], object]] = {
    ".safetensors": load_file,
    ".pt": lambda path: torch.load(path, weights_only=True),
    ".flac": read,
    ".tar": lambda path: tarfile.open(path).getmembers(),  # noqa: SIM115
    ".json": lambda path: json.loads(path.read_text()),
    ".yaml": lambda path: yaml.safe_load(path.read_text()),
    ".onnx": onnx.load,
}


def check(out: Path, parts_allowed: bool) -> list[str]:
    """Return what is wrong with the files of work that was killed."""
    wrong = []
    for path in sorted(one for one in out.rglob("*") if one.is_file()):
        if PART in path.name:
            wrong += [] if parts_allowed else [f"{path.name} is half written"]
        elif path.suffix in READERS:
            try:
                READERS[path.suffix](path)
            except Exception as error:  # noqa: BLE001, whatever a reader of another library raises is the finding
                wrong.append(f"{path.name} cannot be read: {error}")
    return wrong


def differs(out: Path, whole: Path) -> list[str]:
    """Return the files in which work that was killed and resumed differs from uninterrupted work."""
    names = {path.relative_to(whole) for path in whole.rglob("*") if path.is_file()}
    there = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    odd = {str(name) for name in names ^ there if "tensorboard" not in name.parts}
    for name in names & there:
        if name.suffix == ".safetensors":
            mine, other = load_file(out / name), load_file(whole / name)
            same = mine.keys() == other.keys() and all(torch.equal(mine[key], other[key]) for key in mine)
            odd |= set() if same else {str(name)}
        elif name.suffix in (".flac", ".tar", ".onnx") and (out / name).read_bytes() != (whole / name).read_bytes():
            odd.add(str(name))
    return sorted(odd)


def trial(
    kind: str, corpus: Path, folder: Path, kills: int, seconds: float, number: int, chance: random.Random
) -> Counter[str]:
    """Kill and resume one kind of work so often, or for so many seconds; return counts of kills, ends and losses."""
    context = multiprocessing.get_context("forkserver")
    whole, counts, lives = folder / "whole", Counter(), 0

    def begin(out: Path) -> Any:
        process = context.Process(target=work, args=(kind, corpus, out))
        process.start()
        return process

    context.Process(target=int).start()  # what processes are copies of is loaded before the time is taken
    begin(folder / "warm").join()
    began = time.monotonic()
    first = begin(whole)
    first.join()
    assert first.exitcode == 0, kind
    length, until = time.monotonic() - began, time.monotonic() + seconds
    out = folder / "life-0"
    while counts["kills"] < kills and time.monotonic() < until:
        process = begin(out)
        process.join(chance.uniform(0, 1.1 * length))
        if process.exitcode is None:
            os.kill(process.pid, number)
            process.join(PATIENCE_S)
            counts["kills"] += 1
            waited = time.monotonic()
            while alive(process.pid) and time.monotonic() - waited < PATIENCE_S:
                time.sleep(0.02)
            wrong = ["a process outlived it"] if alive(process.pid) else []
            wrong += check(out, parts_allowed=number == signal.SIGKILL)
        else:
            wrong = differs(out, whole) + check(out, parts_allowed=False)
            wrong += [] if process.exitcode == 0 else [f"exit code {process.exitcode}"]
            counts["ends"] += 1
            lives += 1
            out = folder / f"life-{lives}"
        counts["losses"] += bool(wrong)
        for line in wrong:
            print(f"{kind}, kill {counts['kills']}: {line}", flush=True)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--kills", type=int, default=100, help="of each kind of work, at most")
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(WORK), default=list(WORK))
    given = parser.parse_args()
    number, chance = signal.Signals[f"SIG{given.signal}"], random.Random(given.seed)
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
    rows = []
    with TemporaryDirectory() as name:
        corpus = Path(name) / "corpus"
        prepare(corpus)
        for kind in given.only:
            folder = Path(name) / kind
            seconds = 60 * given.minutes / len(given.only)
            counts = trial(kind, corpus, folder, given.kills, seconds, number, chance)
            rows.append({"work": Cell(kind)} | {key: Cell(str(counts[key])) for key in ("kills", "ends", "losses")})
            print(f"{kind}: {dict(counts)}", flush=True)
    heads = {"work": "work", "kills": "kills", "ends": "ended, and compared", "losses": "losses"}
    print(Table(heads, rows, [f"SIG{given.signal}, seed {given.seed}."], name="Kills", complete=True).to_markdown())


if __name__ == "__main__":
    main()
