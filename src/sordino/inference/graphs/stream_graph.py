"""Graph of a stream in ONNX on onnxruntime: it takes the next hops of a signal with the state. No torch.

It can be opened in two ways. Fixed to a single hop, all shapes are known in advance, and nothing has to be worked out
or allocated anew from hop to hop: fast for a live stream. With the number of hops left open, it takes a whole second at
once: fast for a file. Opening takes longer than enhancing a few seconds, so each is opened when it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from sordino.assets import STREAM_SUFFIX
from sordino.errors import InputError
from sordino.files import holds
from sordino.inference.graphs.onnx_graph import HOPS, TYPES, Graph, open_graph, silence, stream_file


class StreamGraph:
    """A network that runs block by block, from the ONNX file of a stream: an ``Engine``.

    Args:
        path: of that file.
        threads: that it computes with; one per core when 0.
        long_blocks: blocks will be of many hops, as those of a file are: only the graph that takes any number of them
            is opened. Otherwise the one fixed to a single hop is opened first, and the other when it is needed.

    Attributes:
        path: of the file.
        about: its metadata.
        memory: a shape and a type for each array of the state.

    Raises:
        InputError: another file.
    """

    def __init__(self, path: str | Path, threads: int = 1, long_blocks: bool = False) -> None:
        self.path, self.name = str(path), Path(path).name.removesuffix(STREAM_SUFFIX)
        self._threads, self._long_blocks = threads, long_blocks
        graph = self._first
        _check_stream(graph)
        self.about = graph.about
        self.sample_rate, self.delay = graph.sample_rate(), graph.number("delay")
        self.hop = graph.inputs[0].shape[1]
        self.memory = graph.memory

    def start(self, channels: int) -> list[list[np.ndarray]]:
        """Return the state before the first block, which is zeros, for each channel."""
        return [silence(self.memory) for _ in range(channels)]

    def step(self, block: np.ndarray, state: list[list[np.ndarray]]) -> tuple[np.ndarray, list[list[np.ndarray]]]:
        """Enhance [C,k hop], channel by channel, all hops at once where the graph can; returns as many samples, and the
        new state."""
        channels, hops = len(block), block.shape[1] // self.hop
        graph, at_once = self._first, 1
        if hops > 1 and self.takes_many:
            graph, at_once = self._any, hops
        if channels == hops == 1:  # a live stream, in which a copy counts
            output, *memory = graph.run([block, *state[0]])
            return output, [memory]
        estimate, after = np.empty(block.shape, np.float32), list(state)
        for channel, noisy in enumerate(block.reshape(channels, hops, self.hop)):
            output = estimate[channel].reshape(noisy.shape)  # a view, which fills the row of the channel
            for start in range(0, hops, at_once):
                part = slice(start, start + at_once)
                output[part], *after[channel] = graph.run([noisy[part], *after[channel]])
        return estimate, after

    @property
    def takes_many(self) -> bool:
        """Whether the graph takes any number of hops at once."""
        return isinstance(self._any.inputs[0].shape[0], str)

    @property
    def _first(self) -> Graph:
        """The graph that is opened first; it takes a single hop, if perhaps more."""
        return self._any if self._long_blocks else self._single

    @cached_property
    def _single(self) -> Graph:
        """The graph fixed to a single hop."""
        return open_graph(self.path, self._threads, hops=1)

    @cached_property
    def _any(self) -> Graph:
        """The graph with the number of hops left open, if the file leaves it open."""
        return open_graph(self.path, self._threads)


def open_stream(path: Path, threads: int = 1, long_blocks: bool = False) -> StreamGraph:
    """Open the graph of a stream, by its own name or by that of the graph of recordings that it lies beside.

    Raises:
        InputError: another file, or a graph of recordings that is not of the same network.
    """
    file = stream_file(path)
    graph = StreamGraph(file, threads, long_blocks)
    if file != path:
        facts = [graph.about.get(key, "") for key in ("name", "arguments", "about")]
        marks = [fact.encode() for fact in facts if fact]
        if not holds(path, *marks):
            found = f"is not of the network that {file.name} beside it is of"
            raise InputError(path, found, "both files of one export", "copy both, or remove the other")
    return graph


def _check_stream(graph: Graph) -> None:
    """Refuse a graph that is not that of a stream: hops and state in, hops and state out, of the same shapes."""
    takes = [(port.shape, port.type) for port in graph.inputs]
    gives = [(port.shape, port.type) for port in graph.outputs]
    if takes != gives or not _takes_hops(*takes[0]) or not all(_is_state(*port) for port in takes[1:]):
        found = f"is no graph of a stream: it takes {graph.describe()}"
        raise InputError(graph.path, found, "hops [hops, samples] and the state, of fixed shapes, in and out")


def _takes_hops(shape: Sequence[int | str | None], kind: str) -> bool:
    """Whether a port is [hops, samples] in floats; the number of hops alone may be open."""
    return len(shape) == 2 and shape[0] in (1, HOPS) and isinstance(shape[1], int) and kind == "tensor(float)"


def _is_state(shape: Sequence[int | str | None], kind: str) -> bool:
    """Whether a port is a state of a fixed shape."""
    return all(isinstance(axis, int) for axis in shape) and kind in TYPES
