"""What a block of a stream takes: the same network in ONNX and in torch, one thread.

Speech is fed hop by hop to a ``sotto.Streamer`` of each, in turn, so that whatever else the machine does meets both;
their output, put together, must be the same.

    python benchmarks/streaming.py runs/real/unet/best.safetensors unet-24 --out benchmarks/results/streaming.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from paired import TOLERANCE, machine

import sotto
from sotto.export.onnx import speech_signals
from sotto.files import write_text
from sotto.stream import Timing

THREADS = 1


def main() -> None:
    """Read the words typed, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="of a network that streams")
    parser.add_argument("student", help="what sotto export made of it: a file, or the name of a shipped model")
    parser.add_argument("--rounds", type=int, default=10, help="passes over the speech")
    parser.add_argument("--out", type=Path, help="where to write the table as Markdown")
    given = parser.parse_args()
    network = sotto.load(given.checkpoint)
    streamers = {
        "onnxruntime": sotto.Streamer(given.student, threads=THREADS),
        "torch": sotto.Streamer(network, threads=THREADS),
    }
    timings = measure(streamers, np.tile(speech_signals(network.sample_rate)[-1], given.rounds), network.hop)
    text = table(timings, f"{given.student}, blocks of {1000 * network.hop / network.sample_rate:g} ms")
    print(text)
    if given.out:
        write_text(given.out, text)


def measure(streamers: dict[str, sotto.Streamer], noisy: np.ndarray, hop: int) -> dict[str, Timing]:
    """Feed all streamers in turn; their timings, once their outputs were found to agree."""
    said: dict[str, list[np.ndarray]] = {name: [] for name in streamers}
    for block in np.split(noisy, range(hop, len(noisy), hop)):
        for name, streamer in streamers.items():
            said[name].append(streamer.feed(block))
    first, *others = (np.concatenate(blocks) for blocks in said.values())
    difference = max(float(np.abs(first - other).max()) for other in others)
    if difference > TOLERANCE:
        raise SystemExit(f"the outputs differ by {difference:.2g}")
    return {name: timing for name, streamer in streamers.items() if (timing := streamer.timing)}


def table(timings: dict[str, Timing], title: str) -> str:
    """Markdown: a row for each, and how many times slower the second is."""
    rows = "".join(
        f"| {name} | {one.p50_ms:.3f} | {one.p95_ms:.3f} | {one.p99_ms:.3f} | {one.real_time_factor:.4f} |\n"
        for name, one in timings.items()
    )
    fast, slow = timings.values()
    ratios = [getattr(slow, name) / getattr(fast, name) for name in ("p50_ms", "p95_ms", "p99_ms", "real_time_factor")]
    return (
        f"# A stream block by block: {title}\n\n"
        "| | p50, ms | p95, ms | p99, ms | real-time factor |\n|---|---:|---:|---:|---:|\n"
        f"{rows}| torch / onnxruntime | {' | '.join(f'{ratio:.1f} x' for ratio in ratios)} |\n\n"
        f"{fast.blocks} blocks, fed in turn. {machine(THREADS)}\n"
    )


if __name__ == "__main__":
    main()
