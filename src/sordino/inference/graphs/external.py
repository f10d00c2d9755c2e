"""Open a network that another project published as ONNX: recognise it, run it, compensate its delay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from sordino.errors import InputError
from sordino.inference.graphs import whole
from sordino.inference.graphs.engines import HopEngine, SpectrumEngine, WaveEngine
from sordino.inference.graphs.onnx_graph import Graph, open_graph
from sordino.inference.graphs.presets import PRESETS, preset_of
from sordino.inference.graphs.probe import Delay, measure_delay
from sordino.inference.graphs.recognise import Signature, recognise
from sordino.inference.graphs.spectra import Stft

SAMPLE_RATE = 16000
"""Hz, of a network that neither a preset nor the caller gives a rate."""

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class External:
    """A network of another project, opened.

    Attributes:
        run: noisy float32 [T] to estimate [T], at ``sample_rate``, the delay taken off.
        engine: runs it hop by hop; None where it takes a whole recording.
        sample_rate: Hz.
        signature: what its graph takes.
        delay: measured on speech, before it was taken off.
        notes: one line for the log: the kind, the delay and the gain.
    """

    run: Run
    engine: HopEngine | None
    sample_rate: int
    signature: Signature
    delay: Delay
    notes: str


def open_external(
    path: str | Path, stft: Stft | None = None, sample_rate: int | None = None, threads: int = 1
) -> External:
    """Open a graph and measure its delay; a second call for the same file, unchanged, gets the same network.

    Args:
        path: the ONNX file.
        stft: the transform around a graph that takes spectra; taken from the preset of that file name where left out.
        sample_rate: Hz; the preset's, or 16000, where left out.
        threads: of arithmetic.

    Raises:
        InputError: a graph that fits nothing, a spectrum without a transform, or a delay that is not constant.
    """
    path = Path(path)
    return _opened(str(path), stft, sample_rate, threads, path.stat().st_mtime_ns)


@lru_cache(8)
def _opened(path: str, stft: Stft | None, sample_rate: int | None, threads: int, _changed: int) -> External:
    preset = preset_of(Path(path).name)
    rate = sample_rate or (preset.sample_rate if preset else SAMPLE_RATE)
    graph = open_graph(path, threads)
    signature = recognise(graph)
    if signature.kind == "wave" and signature.length is not None:
        raise InputError(path, f"takes {graph.describe()}", "one float input of [1, samples], of any length")
    if signature.bins is not None:
        stft = _checked(path, stft or (preset.stft if preset else None), signature)
    if signature.kind == "gains" and preset is None:
        raise InputError(path, f"takes {signature.describe()}", "a preset that says what the features are")
    engine = _engine(graph, stft, signature, Path(path).stem, rate)
    run = _whole(graph, stft, signature) if engine is None else partial(_stepped, engine)
    delay = measure_delay(run, rate, path)
    if engine is not None:
        engine.delay = delay.samples
    elif delay.samples:
        run = partial(_compensated, run, delay.samples)
    notes = f"{path}: {signature.describe()}; delay {delay.samples} samples, gain {delay.gain_db:+.1f} dB on speech"
    return External(run, engine, rate, signature, delay, notes)


def _checked(path: str, stft: Stft | None, signature: Signature) -> Stft:
    """Return the transform, if there is one and it fits the graph."""
    if stft is None:
        hint = f"stft: give it to open_external; a preset knows that of the files of {', '.join(PRESETS)}"
        raise InputError(path, f"takes spectra of {signature.bins} bins, and no transform is given", hint=hint)
    if stft.bins != signature.bins:
        raise InputError(path, f"takes {signature.bins} bins, and n_fft {stft.n_fft} gives {stft.bins}")
    return stft


def _engine(graph: Graph, stft: Stft | None, signature: Signature, name: str, rate: int) -> HopEngine | None:
    """Make the engine of a streaming graph, its delay still in; None for one that takes a whole recording."""
    if signature.kind == "wave stream":
        return WaveEngine(graph, signature, name, rate)
    if signature.kind == "spectrum stream":
        assert stft is not None
        return SpectrumEngine(graph, stft, name, rate)
    return None


def _whole(graph: Graph, stft: Stft | None, signature: Signature) -> Run:
    if signature.kind == "wave":
        return partial(whole.run_wave, graph, signature)
    assert stft is not None
    if signature.kind == "gains":
        return partial(whole.run_gains, graph, stft)
    return partial(whole.run_spectrum, graph, signature, stft)


def _stepped(engine: HopEngine, noisy: np.ndarray) -> np.ndarray:
    """Run a recording through an engine: silence behind it pushes out its end, and the delay is taken off."""
    length, delay = len(noisy), engine.delay
    padded = np.pad(noisy, (0, delay + -(length + delay) % engine.hop)).astype(np.float32)
    estimate, _ = engine.step(padded[None], engine.start(1))
    return estimate[0, delay : delay + length]


def _compensated(run: Run, delay: int, noisy: np.ndarray) -> np.ndarray:
    """Push the end of the estimate out by silence, and leave the delay off."""
    return run(np.pad(noisy, (0, delay)))[delay:]
