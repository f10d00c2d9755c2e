"""Graphs of other projects that take a whole recording at once: samples, or all frames of its spectrum."""

from __future__ import annotations

import numpy as np

from sordino.errors import InputError
from sordino.inference.graphs.onnx_graph import Graph
from sordino.inference.graphs.recognise import Signature
from sordino.inference.graphs.stft import Stft

LEAST_POWER, LEAST_GAIN = 1e-12, 1e-4
"""Of the features of NSNet2, and -80 dB of its gains, as its authors have them."""


def run_wave(graph: Graph, signature: Signature, noisy: np.ndarray) -> np.ndarray:
    """Run noisy float32 [T] through a graph of samples; see ``run_batch``."""
    return run_batch(graph, signature, noisy[None])[0]


def run_batch(graph: Graph, signature: Signature, noisy: np.ndarray) -> np.ndarray:
    """Run noisy float32 [B,T] through a graph of samples; to one of a fixed length, silence is added behind.

    Returns:
        The estimates [B,T], or fewer samples where the graph gives fewer.

    Raises:
        InputError: recordings that are longer than the graph's fixed length.
    """
    count, samples = noisy.shape
    length = signature.length or samples
    if samples > length:
        found = f"takes {length} samples at once and keeps no state"
        raise InputError(graph.path, found, "a recording of no more", "export the graph for any number of samples")
    padded = np.pad(noisy, ((0, 0), (0, length - samples)))
    shape = {1: (length,), 2: (count, length), 3: (count, 1, length)}[signature.rank]
    (estimate,) = graph.run([padded.reshape(shape)])
    return estimate.reshape(count, -1)[:, :samples]


def run_spectrum(graph: Graph, signature: Signature, stft: Stft, noisy: np.ndarray) -> np.ndarray:
    """Run noisy float32 [T] through a graph of spectra, all frames at once; returns the estimate [T]."""
    spectra = analyse(noisy, stft)
    parts = np.stack([np.real(spectra), np.imag(spectra)], axis=-1).astype(np.float32)
    order = ["NF2".index(axis) for axis in signature.axes]
    (found,) = graph.run([parts.transpose(order)[None]])
    back = found[0].transpose(np.argsort(order))  # [N,F,2]
    return synthesise(back[..., 0] + 1j * back[..., 1], stft, len(noisy))


def run_gains(graph: Graph, stft: Stft, noisy: np.ndarray) -> np.ndarray:
    """Run noisy float32 [T] through a graph that answers log10 power spectra [1,N,F] with gains; returns [T]."""
    spectra = analyse(noisy, stft)
    features = np.log10(np.maximum(np.abs(spectra) ** 2, LEAST_POWER))
    (gains,) = graph.run([features[None].astype(np.float32)])
    return synthesise(spectra * np.clip(gains[0], LEAST_GAIN, 1.0), stft, len(noisy))


def analyse(samples: np.ndarray, stft: Stft) -> np.ndarray:
    """Return the spectra [N,F] of samples [T].

    The signal is preceded by n_fft - hop zeros and followed by enough of them that every sample lies in as many frames
    as any other.
    """
    before = stft.n_fft - stft.hop
    frames_each = -(-stft.n_fft // stft.hop)
    last = (-(-len(samples) // stft.hop) + frames_each - 2) * stft.hop
    padded = np.pad(samples, (before, last + stft.n_fft - before - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, stft.n_fft)[:: stft.hop]
    return np.fft.rfft(frames * stft.weights, axis=1)


def synthesise(spectra: np.ndarray, stft: Stft, length: int) -> np.ndarray:
    """Return the samples [length] of spectra [N,F] that ``analyse`` gave, by overlap-add."""
    frames = np.fft.irfft(spectra, stft.n_fft, axis=1) * stft.weights
    total = np.zeros((len(frames) - 1) * stft.hop + stft.n_fft)
    for number, frame in enumerate(frames):
        total[number * stft.hop : number * stft.hop + stft.n_fft] += frame
    before = stft.n_fft - stft.hop
    # Frames begin at multiples of the hop, and the first sample need not lie at one.
    places = np.arange(before, before + length)
    return (total[places] / stft.overlap[places % stft.hop]).astype(np.float32)
