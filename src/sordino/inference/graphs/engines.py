"""Engines for streaming graphs of other projects: one hop of samples, or one frame of a spectrum, and the state.

Both keep the contract of ``sordino.inference.contracts.Engine``, so such networks run on files of any length, in
streams and live, with their state carried on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from sordino.errors import InputError
from sordino.inference.graphs.onnx_graph import Graph, silence
from sordino.inference.graphs.recognise import Signature
from sordino.inference.graphs.spectra import Frames
from sordino.inference.graphs.stft import Stft

NORMS = ("erb_norm_init", "spec_norm_init")
"""Metadata of DPDFNet's files: the first values of its state, one group after the other."""


@dataclass
class Channel:
    """What one channel carries from hop to hop: the state of the graph, and the samples or frames around it."""

    state: list[np.ndarray]
    around: Any


class HopEngine(ABC):
    """Runs a graph hop by hop: channel by channel, or several channels side by side on as many threads as ``workers``.

    Attributes:
        name: for people.
        sample_rate: Hz.
        hop: samples that go in and come out at once.
        delay: samples by which the output lags the input.
    """

    def __init__(self, hop: int, name: str, sample_rate: int, workers: int = 1) -> None:
        self.name, self.sample_rate, self.hop, self.delay = name, sample_rate, hop, 0
        self._workers = workers

    def start(self, channels: int) -> list[Channel]:
        """Return the state of silence for each channel."""
        return [self._begin() for _ in range(channels)]

    def step(self, block: np.ndarray, state: list[Channel]) -> tuple[np.ndarray, Any]:
        """Enhance float32 [C, k hop]; see ``Engine.step``. ``state`` itself is left as it was."""
        after = [Channel(channel.state, copy(channel.around)) for channel in state]
        workers = min(self._workers, len(after))
        if workers < 2:
            return np.stack([self._run(*one) for one in zip(after, block, strict=True)]), after
        with ThreadPoolExecutor(workers) as pool:
            return np.stack(list(pool.map(self._run, after, block))), after

    def _run(self, channel: Channel, samples: np.ndarray) -> np.ndarray:
        """Take whole hops of one channel [k hop], and move it on; return as many samples of the estimate."""
        estimate = np.empty_like(samples)
        for start in range(0, len(samples), self.hop):
            place = slice(start, start + self.hop)
            ready = self._enhance(channel, samples[place])
            if ready.shape != (self.hop,):  # where the file declares another shape than it gives
                raise InputError(self.name, f"gives {ready.size} samples for a hop", f"{self.hop}")
            estimate[place] = ready
        return estimate

    @abstractmethod
    def _begin(self) -> Channel:
        """Return what a channel carries before its first sample. Its arrays are replaced, never changed in place."""

    @abstractmethod
    def _enhance(self, channel: Channel, samples: np.ndarray) -> np.ndarray:
        """Take the next hop of samples [hop] and move the channel on; return as many of the estimate."""


class WaveEngine(HopEngine):
    """A stream of samples: of each hop that goes in, the graph sees the last ``signature.length`` samples.

    Args:
        graph: the opened file.
        signature: what was recognised.
        name, sample_rate: for people, and in Hz.
        workers: threads for several channels.
    """

    def __init__(self, graph: Graph, signature: Signature, name: str, sample_rate: int, workers: int = 1) -> None:
        assert signature.hop is not None
        assert signature.length is not None
        super().__init__(signature.hop, name, sample_rate, workers)
        self._graph, self._length, self._shape = graph, signature.length, _shape(graph)

    def _begin(self) -> Channel:
        return Channel(silence(self._graph.memory), np.zeros(self._length, np.float32))

    def _enhance(self, channel: Channel, samples: np.ndarray) -> np.ndarray:
        channel.around = np.concatenate([channel.around[self.hop :], samples])
        ready, *channel.state = self._graph.run([channel.around.reshape(self._shape), *channel.state])
        return ready.reshape(-1)


class SpectrumEngine(HopEngine):
    """A stream of frames: a hop of samples becomes a spectrum, which goes through the graph and back to samples.

    Args:
        graph: the opened file.
        signature: what was recognised.
        stft: the transform that the network was trained with.
        name, sample_rate: for people, and in Hz.
        workers: threads for several channels.
    """

    def __init__(
        self, graph: Graph, signature: Signature, stft: Stft, name: str, sample_rate: int, workers: int = 1
    ) -> None:
        super().__init__(stft.hop, name, sample_rate, workers)
        self._graph, self._stft, self._shape = graph, stft, _shape(graph)
        self._axis = signature.axes.index("2")

    def _begin(self) -> Channel:
        return Channel(_first_state(self._graph), Frames(self._stft))

    def _enhance(self, channel: Channel, samples: np.ndarray) -> np.ndarray:
        spectrum = channel.around.analyse(samples)
        parts = np.stack([np.real(spectrum), np.imag(spectrum)], axis=self._axis).astype(np.float32)
        ready, *channel.state = self._graph.run([parts.reshape(self._shape), *channel.state])
        real, imaginary = np.moveaxis(ready.reshape(parts.shape), self._axis, 0)
        return channel.around.synthesise(real + 1j * imaginary)


def _shape(graph: Graph) -> list[int]:
    """Return the shape of a graph's first input, with one signal and one frame."""
    return [axis if isinstance(axis, int) else 1 for axis in graph.inputs[0].shape]


def _first_state(graph: Graph) -> list[np.ndarray]:
    """Return the state before the first frame: zeros, where the file's metadata do not say how its norms begin."""
    state = silence(graph.memory)
    start = 0
    for name in NORMS:
        try:
            values = [float(value) for value in graph.about.get(name, "").split(",") if value.strip()]
        except ValueError as error:
            raise InputError(graph.path, f"says {name} = {graph.about[name][:40]!r}", "numbers") from error
        state[0].reshape(-1)[start : start + len(values)] = values
        start += len(values)
    return state
