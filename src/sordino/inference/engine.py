"""Networks that run block by block, ready to run: from a graph in ONNX, or in torch where the network is torch's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sordino.assets import streaming_students
from sordino.audio.pcm import as_estimate, whole_number
from sordino.errors import InputError, needs_training_tier
from sordino.inference.contracts import Engine
from sordino.inference.graphs.source import GraphSource
from sordino.inference.mean import MeanEngine
from sordino.inference.resolve import ModelSource, resolve

if TYPE_CHECKING:
    from sordino.models.base import Enhancer, StreamingEnhancer

STREAMING = "a network that can: dualpath, a causal unet, or demucs with normalisation: running"

MOST_THREADS = 1024
"""onnxruntime takes memory for each thread when it opens a graph, and fails where there is none left."""


def whole_threads(threads: object) -> int | None:
    """Return a number of threads as an int, and None as it is.

    Raises:
        InputError: not whole, below 1 or above ``MOST_THREADS``.
    """
    return None if threads is None else whole_number(threads, "threads", least=1, most=MOST_THREADS)


def open_engine(model: Any = None, threads: int | None = None, long_blocks: bool = False) -> Engine:
    """Make a model ready to run block by block.

    Args:
        model: None for the default student; the name of a shipped one; a path to ONNX, of the graph of recordings or
            that of the stream beside it, or to a checkpoint; the card of a mean whose members stream together; a
            network that streams; an engine, or an open model with one.
        threads: of the arithmetic, 1 to 1024. In ONNX 1 when None; in torch those of all the process, left alone when
            None.
        long_blocks: whether blocks will be of many hops; see ``StreamGraph``.

    Raises:
        InputError: no such model, or one that cannot stream: it needs the whole signal, or is none of those above; or
            a wrong number of threads.
    """
    threads = whole_threads(threads)
    source = resolve(model)
    if source.kind == "engine":
        return source.value
    if source.kind == "model" and source.value.engine is not None:
        return source.value.engine
    if source.kind == "external":
        return _from_external(source.value, source.name, threads or 1)
    if source.kind == "mean":
        return _from_members(source, threads, long_blocks)
    if source.path is not None and source.is_graph:
        if source.kind == "shipped" and source.name not in streaming_students():
            expected = f"a student that ships and can, {' or '.join(streaming_students())}"
            raise InputError(source.name, "cannot run block by block, as it needs the whole recording", expected)
        return _from_onnx(source.path, threads or 1, long_blocks)
    network = source.value
    if source.kind == "checkpoint":
        network = load_checkpoint(source)
    if getattr(network, "streams", False):
        return _TorchEngine(cast("StreamingEnhancer", network), source.name, threads)
    raise InputError(source.name, "cannot run block by block", STREAMING)


def load_checkpoint(source: ModelSource) -> Enhancer:
    """Read the network of a checkpoint, or say what that needs where torch is not installed."""
    needs_training_tier(source.checkpoint, ("torch", "safetensors"))
    from sordino.models import load

    return load(source.checkpoint)


def _from_onnx(path: Path, threads: int, long_blocks: bool) -> Engine:
    from sordino.inference.graphs.onnx_graph import open_graph, stream_file
    from sordino.inference.graphs.stream_graph import open_stream

    file = stream_file(path)
    if file.is_file():
        return open_stream(path, threads, long_blocks)
    if len(open_graph(path, threads).inputs) > 1:  # a state: the graph of a stream, by another project
        return _from_external(GraphSource(path), path.name, threads)
    found = f"cannot run block by block, as there is no {file.name} beside it"
    raise InputError(path, found, f"{STREAMING}, and both files of its export")


def _from_external(source: GraphSource, name: str, threads: int) -> Engine:
    from sordino.inference.graphs.external import open_external

    engine = open_external(source, threads=threads).engine
    if engine is None:
        raise InputError(name, "takes a whole recording and cannot run block by block", STREAMING)
    return engine


def _from_members(source: ModelSource, threads: int | None, long_blocks: bool) -> Engine:
    try:
        engines = [open_engine(one, threads, long_blocks) for one in source.value]
    except InputError as error:
        raise InputError(f"{source.name}: {error.where}", error.found, error.expected, error.hint) from error
    return MeanEngine(source.name, engines)


class _TorchEngine:
    """A network in torch, on the device where it is; it is in eval mode for every step."""

    def __init__(self, network: StreamingEnhancer, name: str, threads: int | None) -> None:
        import torch

        from sordino.models.base import evaluating, input_like

        if threads is not None:
            torch.set_num_threads(threads)
        self.name, self.sample_rate, self.hop, self.delay = name, network.sample_rate, network.hop, network.delay
        self._torch, self._network, self._evaluating = torch, network, evaluating
        self._like = input_like(network)

    def start(self, channels: int) -> Any:
        """See ``Engine``."""
        return self._network.initial_state(channels)

    def step(self, block: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """See ``Engine``; the arrays go to the network's device and type, and back."""
        plain = self._torch.autocast(self._like.device.type, enabled=False)  # it would give another estimate
        with self._torch.inference_mode(), plain, self._evaluating(self._network):
            estimate, state = self._network.step(self._torch.from_numpy(block).to(self._like), state)
        return as_estimate(estimate, self.name).astype(np.float32, copy=False), state
