"""Long recordings in windows beside the same in one piece: what windows cost in PESQ.

The pairs of each speaker are joined into one long noisy signal. It is enhanced as a whole, and in windows of each
kind; the figure is the mean of PESQ against the clean recordings, pair by pair, in windows less as a whole.

    python benchmarks/windows.py --models manner-s-1.5gf unet-24 --out benchmarks/results/windows.md
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, product
from pathlib import Path

import numpy as np
from paired import machine

from sordino.audio import sound_files
from sordino.data.pairs import Pair, list_pairs
from sordino.files import write_text
from sordino.inference.graphs.onnx_graph import Graph
from sordino.inference.resolve import resolve
from sordino.inference.windows import CONTEXT_S, FADE_S, WINDOW_S, Windows
from sordino.metrics.perceptual import pesq_wb
from sordino.report.table import Table

RATE = 16000
HEADER = ["Model", "Window", "Context", "Fade", "PESQ", "Less whole", "Largest of a pair"]

Joined = list[tuple[np.ndarray, np.ndarray]]
"""What follows each other in one signal: noisy and clean, [T] each."""


def main() -> None:
    """Read the command line, measure, show the table and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, default=Path("data/corpus/pairs"), help="folders of noisy/ and clean/")
    parser.add_argument("--models", nargs="+", default=["manner-s-1.5gf"], help="names or files")
    parser.add_argument("--windows", nargs="+", type=float, default=[8, 16, WINDOW_S], help="seconds")
    parser.add_argument("--contexts", nargs="+", type=float, default=[0.0, 0.1, CONTEXT_S, 1.0], help="seconds")
    parser.add_argument("--fades", nargs="+", type=float, default=[FADE_S], help="seconds")
    parser.add_argument("--shuffled", action="store_true", help="join all pairs into one signal, in random order")
    parser.add_argument("--out", type=Path, help="write the report there")
    given = parser.parse_args()
    signals = list(joined(given.pairs))
    if given.shuffled:
        pairs = [pair for signal in signals for pair in signal]
        signals = [[pairs[index] for index in np.random.default_rng(0).permutation(len(pairs))]]
    lengths = ", ".join(f"{sum(len(noisy) for noisy, _ in signal) / RATE:.0f}" for signal in signals)
    rows = []
    for model in given.models:
        for row in measure(model, signals, list(product(given.windows, given.contexts, given.fades))):
            print(*row, sep="  ", flush=True)
            rows.append(row)
    title = (__doc__ or "").partition("\n")[0]
    data = f"{sum(map(len, signals))} real pairs joined into signals of {lengths} s."
    if given.out:
        table = Table.of(HEADER, rows, [f"{data} {machine(os.cpu_count() or 1)}"])
        write_text(given.out, f"# {title}\n\n{table.to_markdown()}")


def joined(folder: Path) -> Iterator[Joined]:
    """The recordings of each folder of pairs, those of a speaker in a row."""
    for pairs in sorted(path for path in folder.iterdir() if (path / "clean").is_dir()):
        found = list_pairs(pairs / "noisy", pairs / "clean")
        speakers = len({pair.speaker for pair in found})

        def speaker(pair: Pair, alike: bool = speakers == len(found)) -> str:
            return "" if alike else pair.speaker  # where nobody speaks twice, all are joined

        for _, group in groupby(sorted(found, key=speaker), key=speaker):
            files = [(pair.noisy, pair.clean) for pair in group if pair.clean]
            yield [(sound_files.read_mono(noisy, RATE), sound_files.read_mono(clean, RATE)) for noisy, clean in files]


def measure(name: str, signals: Sequence[Joined], kinds: Sequence[tuple[float, float, float]]) -> Iterator[list[str]]:
    """Yield a row of the table for each kind of window."""
    run = _whole(name)
    longest = max(sum(len(noisy) for noisy, _ in signal) for signal in signals) / RATE
    whole = scores(run, signals, longest, 0.0, 0.0)
    yield [name, "whole", "", "", f"{whole.mean():.3f}", "", ""]
    for window_s, context_s, fade_s in kinds:
        found = scores(run, signals, window_s, context_s, fade_s)
        apart = found - whole
        kind = [f"{window_s:g} s", f"{context_s:g} s", f"{fade_s:g} s"]
        yield [name, *kind, f"{found.mean():.3f}", f"{apart.mean():+.4f}", f"{np.abs(apart).max():.3f}"]


def _whole(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The graph of a shipped student for whole recordings, also of one that ``sordino enhance`` runs hop by hop."""
    source = resolve(name)
    if source.path is None:
        raise SystemExit(f"{name}: no graph for whole recordings")
    graph = Graph(str(source.path))
    return lambda noisy: graph.run([noisy[None].astype(np.float32)])[0][0]


def scores(
    run: Callable[[np.ndarray], np.ndarray], signals: Sequence[Joined], window_s: float, context_s: float, fade_s: float
) -> np.ndarray:
    """PESQ of every pair, [pairs]."""
    found = []
    for signal in signals:
        windows = Windows(run, RATE, 1, window_s, context_s, fade_s)
        noisy = np.concatenate([noisy for noisy, _ in signal])[None]
        estimate = np.concatenate([windows.feed(noisy), windows.flush()], axis=1)[0]
        parts = np.split(estimate, np.cumsum([len(clean) for _, clean in signal])[:-1])
        found += [pesq_wb(clean, part, RATE) for (_, clean), part in zip(signal, parts, strict=True)]
    return np.array(found)


if __name__ == "__main__":
    main()
