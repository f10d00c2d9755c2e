"""What a block of a stream takes: the same network in ONNX and in torch, one thread.

Speech is fed hop by hop to a ``sordino.Streamer`` of each, a hundred blocks in turn, and to onnxruntime alone, without
sordino around it; their output, put together, must be the same. What is counted is processor time, which on an idle
core is the time that a block takes, and on a busy one leaves out the wait.

    python benchmarks/streaming.py src/sordino/assets/models/dualpath-24.safetensors dualpath-24
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from paired import TOLERANCE, machine

import sordino
from sordino.export.onnx_files import speech_signals
from sordino.files import write_text
from sordino.inference.graphs.onnx_graph import HOPS, stream_file
from sordino.inference.graphs.stream_graph import StreamGraph
from sordino.inference.resolve import resolve
from sordino.models.base import StreamingEnhancer
from sordino.report.table import Table

THREADS, TURN = 1, 100


class Feeds(Protocol):
    """What takes a signal hop by hop."""

    def feed(self, block: np.ndarray) -> np.ndarray:
        """Take the next hop and return the estimate that is ready."""
        ...


def main() -> None:
    """Read the words typed, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="of a network that streams")
    parser.add_argument("student", help="what sordino export made of it: a file, or the name of a shipped model")
    parser.add_argument("--rounds", type=int, default=10, help="passes over the speech")
    parser.add_argument("--out", type=Path, help="where to write the table as Markdown")
    given = parser.parse_args()
    network = sordino.load(given.checkpoint)
    if not isinstance(network, StreamingEnhancer):
        raise SystemExit(f"{given.checkpoint}: a network that does not stream")
    streamers = {
        "onnxruntime alone": GraphAlone(given.student),
        "onnxruntime": sordino.Streamer(given.student, threads=THREADS),
        "torch": sordino.Streamer(network, threads=THREADS),
    }
    block_s = network.hop / network.sample_rate
    spent = measure(streamers, np.tile(speech_signals(network.sample_rate)[-1], given.rounds), network.hop)
    text = table(spent, block_s, f"{given.student}, blocks of {1000 * block_s:g} ms")
    print(text)
    if given.out:
        write_text(given.out, text)


class GraphAlone:
    """The stream's graph, one pass of onnxruntime for each hop, with as little Python around it as possible."""

    def __init__(self, student: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.add_free_dimension_override_by_name(HOPS, 1)
        path = resolve(student).path
        assert path is not None
        self._session = ort.InferenceSession(stream_file(path), options)
        self._names = [one.name for one in self._session.get_inputs()]
        engine = StreamGraph(stream_file(path), THREADS)
        (self._state,), self._to_drop = engine.start(1), engine.delay

    def feed(self, block: np.ndarray) -> np.ndarray:
        """Take the next hop [n]; return the estimate, without the delay before the first one."""
        arrays = [block.reshape(1, -1), *self._state]
        output, *self._state = self._session.run(None, dict(zip(self._names, arrays, strict=True)))
        dropped = min(self._to_drop, block.size)
        self._to_drop -= dropped
        return np.asarray(output)[0, dropped:]


def measure(streamers: Mapping[str, Feeds], noisy: np.ndarray, hop: int) -> dict[str, np.ndarray]:
    """Feed all streamers in turn; seconds of processor time of each block, once their outputs were found to agree."""
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in streamers}
    spent: dict[str, list[float]] = {name: [] for name in streamers}
    blocks = noisy[: len(noisy) // hop * hop].reshape(-1, hop)
    # In turn, but not block by block: each would find the processor's caches full of the other.
    for turn in (blocks[start : start + TURN] for start in range(0, len(blocks), TURN)):
        for name, streamer in streamers.items():
            for block in turn:
                began = time.thread_time()
                outputs[name].append(streamer.feed(block))
                spent[name].append(time.thread_time() - began)
    first, *others = (np.concatenate(blocks) for blocks in outputs.values())
    difference = max(float(np.abs(first - other).max()) for other in others)
    if not difference < TOLERANCE:
        raise SystemExit(f"the outputs differ by {difference:.2g}")
    return {name: np.array(times) for name, times in spent.items()}


def table(spent: dict[str, np.ndarray], block_s: float, title: str) -> str:
    """Make the report in Markdown: a row for each, then torch over onnxruntime, and all of a hop over its graph."""
    figures = {
        name: (*(1000 * np.percentile(times, (50, 95, 99))), times.mean() / block_s) for name, times in spent.items()
    }
    rows = [[name, *(f"{figure:.4f}" for figure in row)] for name, row in figures.items()]
    for slow, fast in (("torch", "onnxruntime"), ("onnxruntime", "onnxruntime alone")):
        ratios = (late / soon for late, soon in zip(figures[slow], figures[fast], strict=True))
        rows.append([f"{slow} / {fast}", *(f"{ratio:.2f} x" for ratio in ratios)])
    note = (
        f"Processor time of {len(spent['torch'])} blocks, a hundred in turn. "
        f"`python benchmarks/streaming.py {' '.join(sys.argv[1:])}`. {machine(THREADS)}"
    )
    labels = ["", "p50, ms", "p95, ms", "p99, ms", "real-time factor"]
    return f"# A stream block by block: {title}\n\n{Table.of(labels, rows, [note]).to_markdown()}"


if __name__ == "__main__":
    main()
