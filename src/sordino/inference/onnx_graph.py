"""Graphs in ONNX on onnxruntime: of whole recordings, and of a stream. No torch.

What ``sordino export`` writes for a network that streams is a pair of files that travel together: ``student.onnx``
takes a recording of any length, ``student.stream.onnx`` the next hops of one signal and the state, and gives both anew.
The
second is opened twice: once fixed to a single hop, so that nothing has to be worked out or allocated anew from hop to
hop, and, when more come at once, for any number of them.

Whatever stands in a file, opening or running it ends well or with one line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,
    RuntimeException,
)

from sordino.errors import InputError
from sordino.inference.resolve import STREAM_SUFFIX

HOPS = "hops"
"""The name of the one axis of a stream's graph whose length is open."""

_FAILURES = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
_LONG = 160_000  # values of one input: ten seconds
_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}


def stream_file(path: str | Path) -> Path:
    """Where the graph of a stream lies: beside that of whole recordings, or at ``path`` where that is one itself."""
    path = Path(path)
    return path if path.name.endswith(STREAM_SUFFIX) else path.with_suffix(STREAM_SUFFIX)


class Graph:
    """An ONNX file ready to run on the CPU; several threads may run it at once.

    Args:
        path: of the file.
        threads: that it computes with; one per core when 0.
        hops: a length to fix the axis of that name to.

    Attributes:
        path: of the file, for messages.
        inputs: what it takes, each with a ``name``, a ``shape`` and a ``type``.
        outputs: what it gives, likewise.
        about: what it says of itself, its metadata.

    Raises:
        InputError: no ONNX file, half of one, or one that onnxruntime cannot run.
    """

    def __init__(self, path: str, threads: int = 0, hops: int | None = None) -> None:
        ort.set_default_logger_severity(3)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        if hops is not None:
            options.add_free_dimension_override_by_name(HOPS, hops)
        try:
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except _FAILURES as error:
            raise InputError(path, "cannot be opened as an ONNX model", hint="is the file complete?") from error
        self._longest = 0
        self.path = path
        self.inputs, self.outputs = self._session.get_inputs(), self._session.get_outputs()
        if not (self.inputs and self.outputs):
            raise InputError(path, "a graph without input or output", "a network")
        self.about: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for ``arrays``, which stand in the order of ``inputs``.

        Raises:
            InputError: the graph does not take them.
        """
        return self._run(arrays, None)

    def give_back(self, arrays: Sequence[np.ndarray]) -> None:
        """Hand the system back what long passes took.

        Half a minute of sound takes hundreds of MB, which onnxruntime keeps for the next half: rightly, as taking them
        anew makes a pass slower, that of a small network by half. It gives them back with a pass alone, and a short
        one will do.

        Args:
            arrays: inputs of such a short pass, whose outputs nobody wants.
        """
        if self._longest > _LONG:
            options = ort.RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
            self._longest = 0
            self._run(arrays, options)

    def _run(self, arrays: Sequence[np.ndarray], options: ort.RunOptions | None) -> list[np.ndarray]:
        named = {one.name: array for one, array in zip(self.inputs, arrays, strict=True)}
        self._longest = max(self._longest, arrays[0].size)
        try:
            found = self._session.run(None, named, options)
        except _FAILURES as error:
            reason = str(error).partition("\n")[0]
            found = f"failed on {arrays[0].shape[-1]} samples ({reason})"
            raise InputError(self.path, found, "a graph that takes what it says it takes") from error
        return [np.asarray(array) for array in found]

    def number(self, name: str, default: int | None = None, least: int = 0) -> int:
        """A whole number from the metadata.

        Raises:
            InputError: it is below ``least`` or no whole number, or is not there and has no default.
        """
        text = self.about.get(name, "" if default is None else str(default))
        if not text.isdecimal() or int(text) < least:
            raise InputError(self.path, f"says {name} = {text!r}", f"a whole number from {least}, in its metadata")
        return int(text)

    def describe(self) -> str:
        """What it takes, in words; of many inputs the first ones."""
        words = [f"{one.name} {one.shape} {one.type}" for one in self.inputs]
        return ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")


class StreamGraph:
    """A network that runs hop by hop, from the ONNX file of a stream; an ``Engine`` of ``sordino.inference``.

    Args:
        path: of that file.
        threads: that it computes with; one per core when 0.

    Attributes:
        path: of the file.
        memory: what it remembers: a shape and a type for each array of the state.

    Raises:
        InputError: another file.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self._one, self._threads = open_graph(path, threads, hops=1), threads
        graph = self._one
        self.path, self.name = graph.path, Path(graph.path).name.removesuffix(STREAM_SUFFIX)
        source, *memory = graph.inputs
        shapes = [one.shape for one in graph.inputs]
        fixed = all(isinstance(axis, int) for shape in shapes for axis in shape)
        paired = shapes == [one.shape for one in graph.outputs] and all(one.type in _TYPES for one in graph.inputs)
        if not (fixed and paired and len(source.shape) == 2 and source.type == "tensor(float)"):
            found = f"is no graph of a stream: it takes {graph.describe()}"
            raise InputError(graph.path, found, "hops [hops, samples] and the state, of fixed shapes, in and out")
        self.sample_rate, self.delay = graph.number("sample_rate", least=1), graph.number("delay")
        self.hop = source.shape[1]
        self.memory = [(one.shape, _TYPES[one.type]) for one in memory]

    def start(self, channels: int) -> list[list[np.ndarray]]:
        """The memory of silence, which is zeros, for each channel."""
        return [[np.zeros(shape, kind) for shape, kind in self.memory] for _ in range(channels)]

    def step(self, block: np.ndarray, state: list[list[np.ndarray]]) -> tuple[np.ndarray, list[list[np.ndarray]]]:
        """Enhance [C,k hop], channel by channel, all hops at once where the graph can; as much, and the new state."""
        hops = block.shape[1] // self.hop
        graph, at_once = (self._many, hops) if hops > 1 and self.takes_many else (self._one, 1)
        estimate, after = np.empty(block.shape, np.float32), list(state)
        for channel, heard in enumerate(block.reshape(len(block), hops, self.hop)):
            said = estimate[channel].reshape(heard.shape)
            for start in range(0, hops, at_once):
                place = slice(start, start + at_once)
                said[place], *after[channel] = graph.run([heard[place], *after[channel]])
        return estimate, after

    @property
    def takes_many(self) -> bool:
        """Whether the graph takes any number of hops at once."""
        return isinstance(self._many.inputs[0].shape[0], str)

    @cached_property
    def _many(self) -> Graph:
        """The graph as the file has it, with no axis fixed; opened when it is wanted."""
        return open_graph(self.path, self._threads)


def open_graph(path: str | Path, threads: int = 0, hops: int | None = None) -> Graph:
    """Open an ONNX file; a second call for the same file, unchanged, gets the same graph."""
    path = Path(path)
    return _opened(str(path), threads, hops, path.stat().st_mtime_ns)


@lru_cache(16)
def _opened(path: str, threads: int, hops: int | None, _changed: int) -> Graph:
    return Graph(path, threads, hops)
