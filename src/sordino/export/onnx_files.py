"""ONNX: a network as files that run without torch, kept only if they equal the network.

Every network gives one file, ``student.onnx``, for whole recordings of any length. One that streams gives a second
beside it, ``student.stream.onnx``: hops and the state in, both anew out (``sordino.export.graphs``,
``sordino.inference.onnx_graph``).
Two plain graphs, rather than the second alone: the first is one call in any runtime, with no delay to cut off, and is
the same for networks that cannot stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
from sordino.inference.onnx_graph import Graph, StreamGraph, stream_file
from sordino.models import Enhancer
from sordino.models.base import StreamingEnhancer

Run = Callable[[np.ndarray], np.ndarray]
TOLERANCE = 1e-4
MANY = 100
"""Hops of a stream that pass at once where there is no hurry."""
STREAMED_S = 2.0
"""How much of each signal passes hop by hop when a stream's graph is compared, which takes as long as streaming it."""


@dataclass(frozen=True)
class Parity:
    """How far the ONNX files are from the network: the largest difference of a sample over signals of these lengths."""

    largest_difference: float
    lengths: tuple[int, ...]
    tolerance: float
    stream_difference: float | None = None
    """Of the stream's graph, hop by hop, from the network on the whole; None where the network does not stream."""


def to_onnx(
    network: Enhancer,
    path: str | Path,
    speech: Sequence[np.ndarray] | None = None,
    about: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Write ``network`` as ONNX, after checking that the files give the network's output on speech.

    Args:
        network: any network of the project, in whatever mode; it is left as it was.
        path: ends in ``.onnx``; replaced atomically, and left alone when the check fails. So is the stream's graph
            beside it (``sordino.inference.onnx_graph.stream_file``), which a network that does not stream removes: it
            would be that of another network.
        speech: float32 [T] signals to check on; noisy real speech that ships with the package when left out.
        about: facts for the metadata, such as the training recipe and the licence; JSON-serialisable.
        tolerance: largest difference allowed, in units of full scale.

    Raises:
        InputError: a file would differ by more than ``tolerance``, or ``path`` is no name for one.
    """
    path = check_name(path)
    signals = list(speech) if speech is not None else speech_signals(network.sample_rate)
    training = network.training
    network.eval()
    try:
        with ExitStack() as files:
            temporary = files.enter_context(atomic(path))
            onnx.save(whole_graph(network, about or {}), temporary)
            difference = compare(network, temporary, signals)
            _refuse(path, difference, tolerance)
            streamed = None
            if isinstance(network, StreamingEnhancer) and network.streams:
                temporary = files.enter_context(atomic(stream_file(path)))
                onnx.save(step_graph(network, about or {}), temporary)
                streamed = compare_stream(network, temporary, signals)
                _refuse(stream_file(path), streamed, tolerance)
        if streamed is None:
            stream_file(path).unlink(missing_ok=True)
    finally:
        network.train(training)
    return Parity(difference, tuple(len(signal) for signal in signals), tolerance, streamed)


def check_name(path: str | Path) -> Path:
    """The name of an exported network, which must not be that of a stream.

    Raises:
        InputError: it is, or does not end in ``.onnx``.
    """
    path = Path(path)
    if path.suffix != ".onnx" or stream_file(path) == path:
        raise InputError(path, "is no name for an exported network", "one that ends in .onnx, and not in .stream.onnx")
    return path


def run_whole(path: str | Path, threads: int = 0) -> Run:
    """The graph of whole recordings as a function of noisy [T]; on one thread per core when ``threads`` is 0."""
    graph = Graph(str(path), threads)
    return lambda noisy: graph.run([noisy[None]])[0][0]


def run_stream(path: str | Path, at_once: int = MANY) -> Run:
    """A stream's graph as a function of noisy [T]: so many hops at once, silence behind; its delay is cut off."""
    graph = StreamGraph(path)

    def run(noisy: np.ndarray) -> np.ndarray:
        silence = graph.delay + -(len(noisy) + graph.delay) % graph.hop
        padded, state, parts = np.pad(noisy, (0, silence))[None], graph.start(1), []
        for start in range(0, padded.shape[1], at_once * graph.hop):
            part, state = graph.step(padded[:, start : start + at_once * graph.hop], state)
            parts.append(part[0])
        return np.concatenate(parts)[graph.delay : graph.delay + len(noisy)]

    return run


def compare(network: Enhancer, path: str | Path, signals: Sequence[np.ndarray]) -> float:
    """The largest difference of a sample between network and file, over signals [T]."""
    return _largest(network, run_whole(path), signals)


def compare_stream(network: StreamingEnhancer, path: str | Path, signals: Sequence[np.ndarray]) -> float:
    """The same for the graph of a stream, hop by hop and many at once, and the network on the whole signals."""
    short = [signal[: round(STREAMED_S * network.sample_rate)] for signal in signals]
    blocks = (1,) if network.unrolls else (1, MANY)
    return max(_largest(network, run_stream(path, at_once), short) for at_once in blocks)


def count_weights(path: str | Path) -> int:
    """The number of values in the weights of an ONNX file, whoever wrote it: its initializers, floating or quantised.

    Integers of more than 8 bits are lengths and indices, and are not counted.
    """
    others = (onnx.TensorProto.INT16, onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
    graph = onnx.load(str(path), load_external_data=False).graph
    return sum(math.prod(weight.dims) for weight in graph.initializer if weight.data_type not in others)


def speech_signals(sample_rate: int) -> list[np.ndarray]:
    """Real speech in white noise at 5 dB, cut to several awkward lengths: what exports are checked on."""
    clean, rate = sound_files.read(Path(str(SPEECH)), sample_rate)
    noise = np.random.default_rng(0).standard_normal(clean.shape[-1]).astype(np.float32)
    noisy = clean[0] + noise * np.float32(clean[0].std() * 10 ** (-5 / 20))
    return [np.ascontiguousarray(noisy[:length]) for length in (SHORTEST, rate // 4 + 1, rate + 77, len(noisy))]


def _largest(network: Enhancer, run: Run, signals: Sequence[np.ndarray]) -> float:
    device = next(network.parameters()).device
    largest = 0.0
    for signal in signals:
        with torch.inference_mode():
            wanted = network(torch.from_numpy(signal)[None].to(device))[0].cpu().numpy()
        difference = np.abs(wanted - run(signal)).max()
        # A NaN must not lose against a number.
        largest = float(max(largest, difference if np.isfinite(difference) else np.inf))
    return largest


def _refuse(path: Path, difference: float, tolerance: float) -> None:
    if not difference <= tolerance:
        found = f"the ONNX graph differs from the network by {difference:.2g}"
        raise InputError(path, found, f"at most {tolerance:g}", "nothing was written")
