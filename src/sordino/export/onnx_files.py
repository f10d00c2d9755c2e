"""ONNX files of a network, which run without torch, and the check that they give the network's output.

Every network is exported to one file, ``student.onnx``, for whole recordings of any length. One that streams is also
exported to a second file beside it, ``student.stream.onnx``, which takes hops and the state and returns both
(``sordino.export.graphs``, ``sordino.inference.graphs.onnx_graph``). The second alone would do for networks that
stream, but the first is a single call in any runtime, has no delay to cut off, and exists for networks that cannot
stream too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from sordino.assets import SPEECH
from sordino.audio import sound_files
from sordino.errors import InputError
from sordino.export.graphs import SHORTEST, step_graph, whole_graph
from sordino.files import atomic
from sordino.inference.graphs.onnx_graph import Graph, check_name, stream_file
from sordino.inference.graphs.stream_graph import StreamGraph
from sordino.inference.pipeline import EngineProcess
from sordino.models import Enhancer
from sordino.models.base import StreamingEnhancer, demand_named, evaluating, input_like, unwrap
from sordino.types import Enhance, Status

TOLERANCE = 1e-4
"""Largest accepted difference of a sample, in units of full scale."""
BLOCK_HOPS = 100
"""Hops of a stream in one call where latency does not matter."""
STREAMED_S = 2.0
"""Seconds of each signal on which a stream's graph is compared; hop by hop, that takes as long as streaming it."""


@dataclass(frozen=True)
class Parity:
    """Largest difference of a sample between ONNX files and network, over signals of these lengths."""

    largest_difference: float
    lengths: tuple[int, ...]
    stream_difference: float | None = None
    """The same between the stream's graph and the network on whole signals; None where the network does not stream."""


def to_onnx(
    network: Enhancer,
    path: str | Path,
    speech: Sequence[np.ndarray] | None = None,
    about: Mapping[str, Any] | None = None,
    status: Status = lambda _: None,
) -> Parity:
    """Export ``network`` to ONNX files, after checking that they give the network's output on speech.

    Args:
        network: any network of the project; it is left unchanged.
        path: ends in ``.onnx``; replaced atomically, and left alone if the check fails. The same holds for the graph of
            a stream beside it (``sordino.inference.graphs.onnx_graph.stream_file``). The export of a network that does
            not stream removes that file, which belongs to another network.
        speech: float32 [T] signals to check on; noisy real speech that ships with the package when left out.
        about: facts for the metadata, such as the training recipe and the licence; JSON-serialisable.
        status: called with a line before each part that takes long.

    Raises:
        InputError: a file would differ by more than ``TOLERANCE``, ``path`` is no valid name, or the
            network has none, or weights of another type than float32.
    """
    path = check_name(path)
    network = unwrap(network)
    demand_named(network)
    if (kind := input_like(network).dtype) != torch.float32:
        raise InputError(f"model {network.name}", f"has weights of {kind}", "torch.float32", "call network.float()")
    signals = list(speech) if speech is not None else speech_signals(network.sample_rate)
    with evaluating(network), ExitStack() as files:
        temporary = files.enter_context(atomic(path, alone=True))
        status(f"{path}: translating the network")
        onnx.save(whole_graph(network, about or {}), temporary)
        status(f"{path}: comparing with the network on speech")
        difference = compare(network, temporary, signals)
        _check_difference(path, difference)
        streamed = None
        if isinstance(network, StreamingEnhancer) and network.streams:
            temporary = files.enter_context(atomic(stream_file(path), alone=True))
            status(f"{stream_file(path)}: the same block by block")
            onnx.save(step_graph(network, about or {}), temporary)
            streamed = compare_stream(network, temporary, signals)
            _check_difference(stream_file(path), streamed)
    if streamed is None:
        stream_file(path).unlink(missing_ok=True)
    return Parity(difference, tuple(len(signal) for signal in signals), streamed)


def run_whole(path: str | Path, threads: int = 0) -> Enhance:
    """Open the graph for recordings as a function of noisy [T]; 0 ``threads`` are one per core."""
    graph = Graph(str(path), threads)
    return lambda noisy: graph.run([noisy[None]])[0][0]


def run_stream(path: str | Path, at_once: int = BLOCK_HOPS) -> Enhance:
    """Open a stream's graph as a function of noisy [T] that takes at most ``at_once`` hops, or 1 s, per call."""
    graph = StreamGraph(path)

    def run(noisy: np.ndarray) -> np.ndarray:
        process, block = EngineProcess(graph, channels=1), at_once * graph.hop
        parts = [process.feed(noisy[None, start : start + block]) for start in range(0, len(noisy), block)]
        return np.concatenate([*parts, process.flush()], axis=1)[0]

    return run


def compare(network: Enhancer, path: str | Path, signals: Sequence[np.ndarray]) -> float:
    """Return the largest difference of a sample between network and file, over signals [T]."""
    return _largest(network, run_whole(path), signals)


def compare_stream(network: StreamingEnhancer, path: str | Path, signals: Sequence[np.ndarray]) -> float:
    """Return the largest difference of a sample between a stream's graph, by hops and by blocks, and the network."""
    short = [signal[: round(STREAMED_S * network.sample_rate)] for signal in signals]
    blocks = (1,) if network.unrolls else (1, BLOCK_HOPS)
    return max(_largest(network, run_stream(path, at_once), short) for at_once in blocks)


def count_weights(path: str | Path) -> int:
    """Count the weights of an ONNX file of any origin: the values of its initializers, in float or in 8 bits.

    Integers of more than 8 bits are lengths and indices, and are not counted.
    """
    others = (onnx.TensorProto.INT16, onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
    graph = onnx.load(str(path), load_external_data=False).graph
    return sum(math.prod(weight.dims) for weight in graph.initializer if weight.data_type not in others)


def speech_signals(sample_rate: int) -> list[np.ndarray]:
    """Return real speech in white noise at 5 dB, cut to several awkward lengths, on which exports are checked."""
    clean, rate = sound_files.read(Path(str(SPEECH)), sample_rate)
    noise = np.random.default_rng(0).standard_normal(clean.shape[-1]).astype(np.float32)
    noisy = clean[0] + noise * np.float32(clean[0].std() * 10 ** (-5 / 20))
    lengths = (SHORTEST, rate // 4 + 1, rate + 77, len(noisy))
    return [np.ascontiguousarray(noisy[:length]) for length in lengths]


def _largest(network: Enhancer, run: Enhance, signals: Sequence[np.ndarray]) -> float:
    device = next(network.parameters()).device
    largest = 0.0
    for signal in signals:
        with torch.inference_mode():
            expected = network(torch.from_numpy(signal)[None].to(device))[0].cpu().numpy()
        estimate = run(signal)
        difference = np.abs(expected - estimate).max() if estimate.shape == expected.shape else np.inf
        # ``max`` with a NaN may return the number, so a NaN has to become infinite.
        largest = float(max(largest, difference if np.isfinite(difference) else np.inf))
    return largest


def _check_difference(path: Path, difference: float) -> None:
    if not difference <= TOLERANCE:
        found = f"the ONNX graph differs from the network by {difference:.2g}"
        raise InputError(path, found, f"at most {TOLERANCE:g}", "nothing was written")
