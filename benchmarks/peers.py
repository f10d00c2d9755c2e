"""The same network by each way of running it: torch, plain and ours, eager and compiled; ONNX in float and int8.

All ways of a network take the same sound in turn, whole recordings, on one thread of one core, so that whatever else
the machine does meets all of them. What the core can do at most is measured between them: a product of two matrices.
Weights are random, which changes no speed; int8 is therefore not judged here.

    python benchmarks/peers.py --sound recordings/ --out benchmarks/results/peers.md
    python benchmarks/peers.py --networks S-1.5GF U-Net --ways eager onnx
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np
import onnx
import torch
from eager_manner import eager
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array
from paired import MEGA, alternate, machine

import sordino
from sordino import models
from sordino.audio import sound_files
from sordino.audio.folders import list_audio
from sordino.evaluation.cost import macs_per_second
from sordino.evaluation.speed import peak_of
from sordino.export import to_int8, to_onnx
from sordino.export.graphs import IR_VERSION, OPSET
from sordino.export.onnx_files import run_whole, speech_signals
from sordino.files import write_text
from sordino.inference.graphs.onnx_graph import Graph, stream_file
from sordino.models import Enhancer
from sordino.models.base import StreamingEnhancer
from sordino.models.manner import Manner
from sordino.report.table import Table
from sordino.types import Enhance

NETWORKS = {
    "S-1.5GF": ("manner-s", {"hidden": 12, "depth": 3}),
    "5.3GF": ("manner-s", {"hidden": 24, "depth": 3}),
    "8.1GF": ("manner-s", {"hidden": 30, "depth": 3}),
    "S-38GF": ("manner-s", {"hidden": 60, "depth": 4}),
    "B": ("manner-b", {"hidden": 60, "depth": 4}),
    "U-Net": ("unet", {"width": 24}),
    "DEMUCS": ("demucs", {"normalisation": "running"}),
}
WAYS = ("plain", "eager", "compiled", "onnx", "int8")
FILES, SECONDS, MATRIX, STARTS = 4, 4.0, 1024, 3
HEADER = ["", "RTF", "faster than eager", "than plain", "peak", "memory", "file", "start", "block, p95"]
Ready = Callable[[], object]


def main() -> None:
    """Read the words typed, measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="all by default")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="all by default")
    parser.add_argument("--sound", type=Path, help="folder of noisy recordings; speech that ships by default")
    parser.add_argument("--rounds", type=int, default=7, help="passes of each way (default 7)")
    parser.add_argument("--out", type=Path, help="where to write the tables as Markdown")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sound = _sound(given.sound)
    blocks = [_measured(name, given.ways, sound, given.rounds) for name in given.networks]
    words = " ".join(sys.argv[1:])
    text = (
        "# The same network by each way of running it\n\n"
        f"{len(sound)} recordings of {SECONDS:g} s (cut, or repeated); random weights. RTF is the real-time factor, "
        f"median of {given.rounds} rounds; memory is what one pass adds at its peak; a start is `sordino enhance` on "
        "3 s, cold. Peak is the share of what a matrix product on onnxruntime reaches on this core, the fastest "
        "rounds of both; elementwise operations count as products.\n\n"
        f"{''.join(blocks)}`python benchmarks/peers.py {words}`. {machine(1)}\n"
    )
    print(text)
    if given.out:
        write_text(given.out, text)


def _sound(folder: Path | None) -> list[np.ndarray]:
    rate = Enhancer.sample_rate
    if folder is None:
        signals = speech_signals(rate)[-1:]
    else:
        signals = [sound_files.read_mono(path, rate) for path in islice(list_audio(folder), FILES)]
    # All of one length, as a compiled network is compiled anew for another.
    return [np.resize(signal, round(SECONDS * rate)) for signal in signals]


def build(name: str) -> Enhancer:
    """A network of the list, with random weights."""
    torch.manual_seed(0)
    kind, arguments = NETWORKS[name]
    return models.create(kind, **arguments).eval()


def _measured(name: str, ways: Sequence[str], sound: Sequence[np.ndarray], rounds: int) -> str:
    """The rows of a network."""
    network = build(name)
    with tempfile.TemporaryDirectory() as folder:
        files = {"onnx": Path(folder) / "float.onnx", "int8": Path(folder) / "int8.onnx"}
        to_onnx(network, files["onnx"])
        if "int8" in ways:
            # One judge for whom all are alike takes the first attempt: every part in 8 bits.
            to_int8(files["onnx"], files["int8"], sound, lambda run: {"": 0.0})
        ways = [way for way in ways if way != "plain" or isinstance(network, Manner)]
        runs = {way: _opened(network, way, files.get(way)) for way in ways}
        works: list[Ready] = [partial(_pass, run, sound) for run in runs.values()]
        times = np.array(alternate([*works, _product(Path(folder))], rounds))
        seconds = sum(map(len, sound)) / network.sample_rate
        fastest = times.min(axis=0)
        core = 2e-9 * MATRIX**3 / fastest[-1]
        share = 2e-9 * macs_per_second(network, SECONDS) * seconds / fastest[:-1] / core
        rows = []
        for index, way in enumerate(ways):
            taken = times[:, index]
            faster = [
                f"{np.median(times[:, ways.index(other)] / taken):.2f} x" if other in ways else ""
                for other in ("eager", "plain")
            ]
            size, start, block = _of_file(files[way], network, sound) if way in files else ("", "", "")
            figures = [f"{median(taken) / seconds:.4f}", *faster, f"{share[index]:.0%}"]
            # A fresh process would compile anew, for minutes.
            pass_of = partial(_prepare, name, way, str(files.get(way, "")), sound[0])
            figures.append("" if way == "compiled" else f"{peak_of(pass_of) / MEGA:.0f} MB")
            rows.append([way, *figures, size, start, block])
            print(name, *rows[-1], sep="  ", flush=True)
    table = Table.of(HEADER, rows).to_markdown()
    return f"## {name}\n\nA matrix product: {core:.0f} GFLOP/s.\n\n{table}\n"


def _opened(network: Enhancer, way: str, path: Path | None) -> Enhance:
    if path is not None:
        return run_whole(path, threads=1)
    if way == "plain" and isinstance(network, Manner):
        network = eager(network)
    forward = torch.compile(network) if way == "compiled" else network

    def run(noisy: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return forward(torch.from_numpy(noisy)[None])[0].numpy()

    return run


def _pass(run: Enhance, sound: Sequence[np.ndarray]) -> None:
    for noisy in sound:
        run(noisy)


def _product(folder: Path) -> Ready:
    """A product of two square matrices on onnxruntime, which is faster at it than torch and numpy."""
    a, b = np.random.default_rng(0).standard_normal((2, MATRIX, MATRIX)).astype(np.float32)
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, a.shape) for name in "ac"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])], "product", shapes[:1], shapes[1:], [from_array(b, "b")]
    )
    path = folder / "product.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION), path)
    return partial(Graph(str(path), threads=1).run, [a])


def _prepare(name: str, way: str, path: str, noisy: np.ndarray) -> Ready:
    """In a fresh process: a way of running, warmed up on little."""
    torch.set_num_threads(1)
    run = _opened(build(name), way, Path(path) if path else None)
    run(noisy[:4000])
    return partial(run, noisy)


def _of_file(path: Path, network: Enhancer, sound: Sequence[np.ndarray]) -> tuple[str, str, str]:
    """Size, seconds from the words typed to the file enhanced, and the slow end of a stream's blocks."""
    noisy, enhanced = path.parent / "noisy.wav", path.parent / "enhanced.wav"
    sound_files.write(noisy, np.resize(sound[0], 3 * network.sample_rate), network.sample_rate)
    words = [sys.executable, "-m", "sordino", "enhance", str(noisy), "-o", str(enhanced), "--model", str(path)]
    taken = []
    for _ in range(STARTS):
        started = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    block = ""
    if stream_file(path).exists():
        hop, streamer = cast(StreamingEnhancer, network).hop, sordino.Streamer(path, threads=1)
        for noisy_block in np.split(sound[0], range(hop, len(sound[0]), hop)):
            streamer.feed(noisy_block)
        timing = streamer.timing
        block = "" if timing is None else f"{timing.p95_ms:.2f} of {1000 * hop / network.sample_rate:g} ms"
    return f"{path.stat().st_size / 1e6:.2f} MB", f"{median(taken):.2f} s", block


if __name__ == "__main__":
    main()
