"""Segments of 4 s per second that the loader makes ready, beside what a training step takes.

Every source goes through the loader as in training: decoding, mixing, tempo, rooms, batches. What counts is processor
time, which other work on the machine changes little: that of the worker processes for a segment, and that of the
training process, which receives all of them, one after the other. On C cores, C - 1 workers beside the training
process then give min((C - 1) / worker's time, 1 / training process's time) segments per second; rates by the clock,
with 1 and with 2 workers here, stand beside it. Wanted are 200 per second on 8 cores, for MANNER-S-1.5GF on an
accelerator.

    python benchmarks/data_throughput.py data/corpus/clean data/corpus/noise --out benchmarks/results/data_throughput.md
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from paired import machine
from train_step import CASES, prepare

from sordino.audio.sound_files import write
from sordino.data import base, sources
from sordino.data.augmentation import DEFAULT, Augmentation
from sordino.data.loader import loader
from sordino.data.tools.render import render
from sordino.data.tools.shard import shard
from sordino.files import write_text
from sordino.json_files import write_json
from sordino.report.table import Table

SEGMENT_S, RATE, BATCH = 4.0, 16000, 4
CORES, WANTED = 8, 200.0
TEMPO = (0.9, 1.1)


@dataclass(frozen=True)
class Row:
    """What one source costs; times in seconds of processor per segment, rates in segments per second."""

    source: str
    worker_s: float
    main_s: float
    one_worker: float
    two_workers: float

    @property
    def on_cores(self) -> float:
        """Segments per second on ``CORES`` cores."""
        return min((CORES - 1) / self.worker_s, 1 / self.main_s)


def main() -> None:
    """Read the command line, measure every source, show the table and write it where asked."""
    arguments = _arguments()
    torch.set_num_threads(1)
    trained = _trained()
    with tempfile.TemporaryDirectory() as folder:
        sources = _sources(arguments.clean, arguments.noise, Path(folder), arguments.segments)
        rows = []
        for name, source in sources.items():
            rows.append(_measure(name, source))
            print(*_entries(rows[-1]), sep="  ", flush=True)
    text = _report(rows, trained, arguments.segments)
    print(f"\n{text}", end="")
    for path in arguments.out:
        if path.suffix == ".json":
            write_json(path, {"machine": machine(1), "rows": [asdict(row) for row in rows]})
        else:
            write_text(path, text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clean", help="folder of clean speech at 16 kHz")
    parser.add_argument("noise", help="folder of noise at 16 kHz")
    parser.add_argument("--segments", type=int, default=800, help="of each measurement (default 800)")
    parser.add_argument("--out", type=Path, nargs="+", default=[], help="write the report there: .md or .json, or both")
    return parser.parse_args()


def _sources(clean: str, noise: str, folder: Path, segments: int) -> Mapping[str, base.Source]:
    """Every way to come by ``segments`` segments of the same speech and noise."""
    rng = np.random.default_rng(0)
    for number in range(20):  # rooms that ring for half a second
        ringing = rng.standard_normal(RATE) * np.exp(-6.9 * np.arange(RATE) / (0.5 * RATE))
        write(folder / "rooms" / f"{number}.wav", ringing / np.abs(ringing).max(), RATE)

    def mix(augment: Augmentation | None = None, **arguments: object) -> base.Source:
        folders = {"clean": clean, "noise": noise, "augment": augment}
        return sources.create("mix", **folders, segment_s=SEGMENT_S, epoch_size=segments, **arguments)

    rooms = {"impulse_responses": str(folder / "rooms"), "reverb": 1.0}
    rendered, shards = folder / "rendered", str(folder / "shards")
    render(mix(cache=False), rendered, segments * SEGMENT_S / 3600)
    both = {"noisy": f"{rendered}/noisy", "clean": f"{rendered}/clean"}
    valid = {f"valid_{side}": f"{rendered}/valid/{side}" for side in both}
    pairs = {"segment_s": SEGMENT_S, "stride_s": SEGMENT_S}
    shard(sources.create("pairs", **both, **valid), shards)
    return {
        "mix, from files": mix(cache=False),
        "mix, cache being filled": mix(cache=True),
        "mix, augmented": mix(DEFAULT, cache=False),
        "mix, tempo": mix(cache=False, tempo=TEMPO),
        "mix, rooms": mix(cache=False, **rooms),
        "mix, babble": mix(cache=False, babble=1.0),
        "mix, tempo and rooms, a fifth babble": mix(cache=False, tempo=TEMPO, babble=0.2, **rooms),
        "pairs": sources.create("pairs", **both, **valid, **pairs),
        "pairs, tempo": sources.create("pairs", **both, **valid, **pairs, tempo=TEMPO),
        "shards": sources.create("shards", root=shards, **pairs),
        "shards, tempo": sources.create("shards", root=shards, **pairs, tempo=TEMPO),
    }


def _measure(name: str, source: base.Source) -> Row:
    """Load an epoch with one and with two workers."""
    segments, costs, rates = source.train(0), [], []
    for workers in (1, 2):
        before, started = _processor_s(), time.perf_counter()
        done = sum(len(batch.ids) for batch in loader(segments, BATCH, 0, 0, workers=workers))
        taken, now = time.perf_counter() - started, _processor_s()
        costs.append([(later - earlier) / done for later, earlier in zip(now, before, strict=True)])
        rates.append(done / taken)
    worker_s, main_s = np.mean(costs, axis=0)
    return Row(name, float(worker_s), float(main_s), *rates)


def _trained(steps: int = 3) -> float:
    """Segments of MANNER-S-1.5GF that one core trains on in a second of its time."""
    case = CASES["MANNER-S-1.5GF"]
    step = prepare(case, plain=False, eager_attention=False)
    step()
    _, before = _processor_s()
    for _ in range(steps):
        step()
    return steps * case.batch / (_processor_s()[1] - before)


def _processor_s() -> tuple[float, float]:
    """Processor time so far of the worker processes that have ended, and of this process."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    children, own = (use.ru_utime + use.ru_stime for use in uses)
    return children, own


def _entries(row: Row) -> list[str]:
    """The entries of a row of the table."""
    costs = [f"{1000 * row.worker_s:.2f} ms", f"{1000 * row.main_s:.2f} ms"]
    rates = [f"{row.one_worker:.0f}", f"{row.two_workers:.0f}", f"{row.on_cores:.0f}"]
    return [row.source, *costs, *rates, f"{row.on_cores / WANTED:.1f} x"]


def _report(rows: list[Row], trained: float, segments: int) -> str:
    labels = ["Source", "Worker", "Training process", "1 worker", "2 workers", f"{CORES} cores", f"of {WANTED:.0f}"]
    table = Table.of(labels, [_entries(row) for row in rows]).to_markdown()
    lines = [
        "Worker, training process: processor time for a segment. 1 and 2 workers: segments per second, by the clock.",
        f"{CORES} cores: what {CORES - 1} workers beside the training process would give by these processor times, if",
        "memory and disk keep up; the slower of the two counts.",
        "",
        f"MANNER-S-1.5GF trains on {trained:.1f} segments in a second of one core of this machine.",
        "",
        f"{machine(1)}",
        f"{segments} segments for each number of workers, batches of {BATCH}. Real speech and noise at 16 kHz, FLAC;",
        "files in the system's cache; the rooms are decaying noise.",
    ]
    text = "\n".join(lines)
    return f"# Segments of 4 s per second that the loader makes ready\n\n{table}\n{text}\n"


if __name__ == "__main__":
    main()
