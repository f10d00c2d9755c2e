"""Graphs in ONNX on onnxruntime, and the names of their files. No torch.

For a network that streams, ``sordino export`` writes a pair of files: ``student.onnx`` takes a recording of any length;
``student.stream.onnx`` takes the next hops of one signal with the state, and returns their estimate and the new state.

Whatever a file holds, opening or running it succeeds or raises an ``InputError``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import lru_cache
from math import prod
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

from sordino.assets import STREAM_SUFFIX
from sordino.audio.pcm import check_shape
from sordino.errors import InputError
from sordino.files import demand_own, identity
from sordino.inference.graphs import passes
from sordino.inference.graphs.declared import largest_axis
from sordino.inference.graphs.failures import unopened

HOPS = "hops"
"""The name of the one axis of a stream's graph whose length is open."""

_FAILURES = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
MOST_VALUES = 1 << 26
"""Of all inputs and outputs, in axes of a fixed length."""
_OWN_KEY = b"\x0a\x09arguments\x12"
"""An entry of the metadata of every graph that sordino wrote, as it is in the file: a key of nine letters."""
_DIGITS = 7
_LONG = 160_000  # values of one input: ten seconds
_SHORT = 16_000
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}
"""Types that a state may have, as onnxruntime and numpy call them."""
Memory = list[tuple[list[int], type[np.generic]]]
"""A shape and a type for each array of a state."""


def stream_file(path: str | Path) -> Path:
    """Return the path of a stream's graph: beside that of whole recordings, or ``path`` where that is one itself."""
    path = Path(path)
    return path if path.name.lower().endswith(STREAM_SUFFIX) else path.with_suffix(STREAM_SUFFIX)


def recordings_file(path: Path) -> Path | None:
    """Return the graph of whole recordings beside that of a stream; None where there is none, or for another graph."""
    file = path.with_name(path.name[: -len(STREAM_SUFFIX)] + ".onnx")
    return file if path.name.lower().endswith(STREAM_SUFFIX) and file.is_file() else None


def check_name(path: str | Path) -> Path:
    """Return the path of an exported network, if it is a valid one.

    Raises:
        InputError: it does not end in ``.onnx``, it ends like that of a stream's graph, or another's file is there.
    """
    path = Path(path)
    if path.suffix != ".onnx" or stream_file(path) == path:
        raise InputError(
            path, "is not a name for an exported network", "one that ends in .onnx, and not in .stream.onnx"
        )
    for one in (path, stream_file(path)):
        demand_own(one, _OWN_KEY, "graph")
    return path


class Graph:
    """An ONNX file ready to run on the CPU; several threads may run it at once.

    Args:
        path: of the file.
        threads: that it computes with; one per core when 0.
        hops: fixes the axis of that name to this length.

    Attributes:
        path: of the file, for messages.
        inputs: each with a ``name``, a ``shape`` and a ``type``.
        outputs: likewise.
        about: its metadata.

    Raises:
        InputError: no ONNX file, half of one, or one that onnxruntime cannot run.
    """

    def __init__(self, path: str, threads: int = 0, hops: int | None = None) -> None:
        ort.set_default_logger_severity(4)  # an error is raised, and need not be printed too
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        largest = largest_axis(path)
        if largest > MOST_VALUES:
            raise InputError(path, f"has an axis of {largest:,}", f"at most {MOST_VALUES:,}")
        if hops is not None:
            options.add_free_dimension_override_by_name(HOPS, hops)
        try:
            # Without a second try, which would print its reason.
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"], enable_fallback=0)
            self.inputs, self.outputs = self._session.get_inputs(), self._session.get_outputs()
            self.about: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
            sizes = [_fixed_values(port.shape) for port in (*self.inputs, *self.outputs)]
            self._note_names()
        except (*_FAILURES, UnicodeDecodeError) as error:
            raise unopened(path, error) from error
        self._longest = 0
        self.path = path
        if not (self.inputs and self.outputs):
            raise InputError(path, "a graph without input or output", "a network")
        if not 0 <= min(sizes) <= sum(sizes) <= MOST_VALUES:  # a state may be empty
            found = f"takes and gives arrays of {sum(sizes):,} values, the smallest of {min(sizes):,}"
            raise InputError(path, found, f"0 to {MOST_VALUES:,}")

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for ``arrays``, which are in the order of ``inputs``.

        Raises:
            InputError: the graph does not take them.
        """
        return self._run(arrays, None)

    def led_by(self, source: int, target: int) -> Graph:
        """Return the same graph with input ``source`` and output ``target`` moved to the front of their lists."""
        led = copy(self)
        led.inputs = [self.inputs[source], *self.inputs[:source], *self.inputs[source + 1 :]]
        led.outputs = [self.outputs[target], *self.outputs[:target], *self.outputs[target + 1 :]]
        led._note_names()
        return led

    def _note_names(self) -> None:
        """Keep the names of inputs and outputs: asking onnxruntime for them at every hop takes as long as a copy."""
        self._takes = [port.name for port in self.inputs]
        self._gives = [port.name for port in self.outputs]

    def give_back(self, arrays: Sequence[np.ndarray]) -> None:
        """Return the memory of long passes to the system.

        Half a minute of audio takes hundreds of MB, which onnxruntime keeps for the next pass: rightly, as allocating
        them anew makes a pass slower, that of a small network by half. It can return them only at the end of a pass,
        so a short one is run for that.

        Args:
            arrays: inputs of the short pass.
        """
        if self._longest > _LONG:
            options = ort.RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
            self._longest = 0
            self._run(arrays, options)

    def shrink(self) -> None:
        """Return the memory of long passes, where an open axis of samples or frames lets a short pass be run."""
        if len(self.inputs) > 1:
            return
        *others, last = self.inputs[0].shape
        if not isinstance(last, int):
            self.give_back([np.zeros((*_closed(others), _SHORT), np.float32)])

    def _run(self, arrays: Sequence[np.ndarray], options: ort.RunOptions | None) -> list[np.ndarray]:
        named = dict(zip(self._takes, arrays, strict=True))
        self._longest = max(self._longest, arrays[0].size)
        try:
            return passes.run(self._session, named, self._gives, self.path, options)
        except _FAILURES as error:
            reason = str(error).partition("\n")[0]
            found = f"failed on {arrays[0].shape[-1]} samples ({reason})"
            raise InputError(self.path, found, "a graph that takes what it says it takes") from error

    def number(self, name: str, default: int | None = None, least: int = 0) -> int:
        """Return a whole number from the metadata.

        Raises:
            InputError: it is below ``least``, far too large or no whole number, or is not there and has no default.
        """
        absent = "" if default is None else str(default)
        text = self.about.get(name, absent)
        if not text.isdecimal() or len(text) > _DIGITS or int(text) < least:
            expected = f"a whole number from {least}, in its metadata"
            raise InputError(self.path, f"says {name} = {text[:40]!r}", expected)
        return int(text)

    def sample_rate(self, default: int | None = None) -> int:
        """Return the sample rate in Hz from the metadata; errors as in ``number``, and for a rate of no recording."""
        rate = self.number("sample_rate", default, least=1)
        check_shape(self.path, rate, 1)
        return rate

    @property
    def memory(self) -> Memory:
        """The arrays of a stream's state, which are its inputs but the first: a shape and a type for each."""
        return [(_closed(array.shape), TYPES[array.type]) for array in self.inputs[1:]]

    def describe(self) -> str:
        """Describe its inputs in words; of many the first ones."""
        words = [f"{port.name} {port.shape} {port.type}" for port in self.inputs]
        first = ", ".join(words[:3])
        if len(words) > 3:
            return f"{first} and {len(words) - 3} more"
        return first


def _fixed_values(shape: Sequence[object]) -> int:
    """Return the number of values of an array, in its axes of a fixed length."""
    return prod(axis for axis in shape if isinstance(axis, int))


def _closed(shape: Sequence[object]) -> list[int]:
    """Return a shape with open axes of length 1: they are those of the batch, which is one signal here."""
    return [axis if isinstance(axis, int) else 1 for axis in shape]


def silence(memory: Memory) -> list[np.ndarray]:
    """Return the state before the first sample: zeros."""
    return [np.zeros(shape, kind) for shape, kind in memory]


def open_graph(path: str | Path, threads: int = 0, hops: int | None = None) -> Graph:
    """Open an ONNX file; a second call for the same file, unchanged, gets the same graph."""
    path = Path(path)
    return _opened(str(path), threads, hops, identity(path))


@lru_cache(16)
def _opened(path: str, threads: int, hops: int | None, _changed: tuple[int, ...]) -> Graph:
    # The identity of the file is a part of the key alone: a file that was written anew is opened anew.
    return Graph(path, threads, hops)
