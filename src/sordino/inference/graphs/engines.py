"""Engines for streaming graphs of other projects: one hop of samples, or one frame of a spectrum, and the state.

Both keep the contract of ``sordino.inference.engine.Engine``, so such networks run on files of any length, in streams
and live, with their state carried on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sordino.inference.graphs.onnx_graph import Graph
from sordino.inference.graphs.recognise import Signature
from sordino.inference.graphs.spectra import Frames, Stft

_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}


def _silence(graph: Graph) -> list[np.ndarray]:
    """Return the state before the first sample: zeros."""
    return [np.zeros(one.shape, _TYPES.get(one.type, np.float32)) for one in graph.inputs[1:]]


@dataclass
class _Channel:
    """What one channel carries from hop to hop."""

    state: list[np.ndarray]
    frames: Frames | None = None
    window: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))


class WaveEngine:
    """A stream of samples: ``hop`` go in, the last ``signature.length`` of which the graph sees, and ``hop`` come out.

    Args:
        graph: the opened file.
        signature: what was recognised.
        name, sample_rate: for people, and in Hz.
        delay: samples by which the output lags the input.
    """

    def __init__(self, graph: Graph, signature: Signature, name: str, sample_rate: int, delay: int = 0) -> None:
        assert signature.hop is not None
        assert signature.length is not None
        self.name, self.sample_rate, self.hop, self.delay = name, sample_rate, signature.hop, delay
        self._graph, self._length = graph, signature.length

    def start(self, channels: int) -> list[_Channel]:
        """Return the state of silence for each channel."""
        empty = np.zeros(self._length, np.float32)
        return [_Channel(_silence(self._graph), window=empty) for _ in range(channels)]

    def step(self, block: np.ndarray, state: list[_Channel]) -> tuple[np.ndarray, Any]:
        """Enhance float32 [C, k hop]; see ``Engine.step``."""
        estimate = np.empty_like(block)
        for channel, samples, out in zip(state, block, estimate, strict=True):
            for start in range(0, len(samples), self.hop):
                hop = samples[start : start + self.hop]
                channel.window = np.concatenate([channel.window[self.hop :], hop])
                ready, *channel.state = self._graph.run([channel.window[None], *channel.state])
                out[start : start + self.hop] = ready[0]
        return estimate, state


class SpectrumEngine:
    """A stream of frames: a hop of samples becomes a spectrum, which goes through the graph and back to samples.

    Args:
        graph: the opened file.
        stft: the transform that the network was trained with.
        name, sample_rate: for people, and in Hz.
        delay: samples by which the output lags the input; n_fft - hop for a network without look-ahead of its own.
    """

    def __init__(self, graph: Graph, stft: Stft, name: str, sample_rate: int, delay: int | None = None) -> None:
        self.name, self.sample_rate, self.hop = name, sample_rate, stft.hop
        self.delay = stft.n_fft - stft.hop if delay is None else delay
        self._graph, self._stft = graph, stft

    def start(self, channels: int) -> list[_Channel]:
        """Return the state of silence for each channel."""
        return [_Channel(_silence(self._graph), Frames(self._stft)) for _ in range(channels)]

    def step(self, block: np.ndarray, state: list[_Channel]) -> tuple[np.ndarray, Any]:
        """Enhance float32 [C, k hop]; see ``Engine.step``."""
        estimate = np.empty_like(block)
        for channel, samples, out in zip(state, block, estimate, strict=True):
            frames = channel.frames
            assert frames is not None
            for start in range(0, len(samples), self.hop):
                spectrum = frames.analyse(samples[start : start + self.hop])
                parts = np.stack([np.real(spectrum), np.imag(spectrum)], axis=-1).astype(np.float32)
                ready, *channel.state = self._graph.run([parts[None, :, None], *channel.state])
                enhanced = ready[0, :, 0, 0] + 1j * ready[0, :, 0, 1]
                out[start : start + self.hop] = frames.synthesise(enhanced)
        return estimate, state
