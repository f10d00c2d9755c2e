"""Open a network that another project published as ONNX: recognise it, run it, compensate its delay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from sordino.audio.pcm import check_shape
from sordino.distributed import usable_cores
from sordino.errors import InputError
from sordino.files import identity
from sordino.inference.graphs import whole
from sordino.inference.graphs.deepfilternet import DeepFilterNet3
from sordino.inference.graphs.delay import Delay, measure_delay
from sordino.inference.graphs.dtln import DtlnEngine
from sordino.inference.graphs.engines import HopEngine, SpectrumEngine, WaveEngine
from sordino.inference.graphs.onnx_graph import Graph, open_graph
from sordino.inference.graphs.presets import PRESETS
from sordino.inference.graphs.recognise import Signature, recognise
from sordino.inference.graphs.rnnoise import RNNoise
from sordino.inference.graphs.source import SAMPLE_RATE, GraphSource
from sordino.inference.graphs.stft import Stft
from sordino.types import Enhance

UNKNOWN = Delay(0, 0.0)
"""Until it is measured."""


@dataclass(frozen=True)
class External:
    """A network of another project, opened.

    Attributes:
        run: noisy float32 [T] to estimate [T], at ``sample_rate``, the delay taken off.
        engine: runs it hop by hop; None where it takes a whole recording.
        sample_rate: Hz.
        signature: what its graph takes; None for a network of several graphs.
        delay: measured on speech, before it was taken off.
        notes: one line for the log: the kind, the delay and the gain.
        run_batch: the same for several of one length, [B,T] to [B,T]; None where the graph takes one at a time.
        longest: samples that it takes at once; None where any number.
        finish: frees what long recordings took.
    """

    run: Enhance
    engine: HopEngine | None
    sample_rate: int
    signature: Signature | None
    delay: Delay
    notes: str
    run_batch: Enhance | None = None
    longest: int | None = None
    finish: Callable[[], object] = lambda: None


def open_external(source: GraphSource, threads: int | None = None) -> External:
    """Open a network and measure its delay; a second call for the same files, unchanged, gets the same network.

    Args:
        source: its files, and how to run it; 16000 Hz if neither ``source`` nor its preset states a rate.
        threads: number of threads. By default a stream uses one, and several signals run in parallel on one thread per
            core; other networks use one per core.

    Raises:
        InputError: no such file, a graph of an unknown kind, a graph of spectra without a transform, or a delay that is
            not constant.
    """
    return _opened(source, threads, tuple(map(identity, source.files)))


@lru_cache(8)
def _opened(source: GraphSource, threads: int | None, _changed: tuple[tuple[int, ...], ...]) -> External:
    facts = source.facts
    rate = source.sample_rate or (facts.sample_rate if facts else None)
    if source.kind == "deepfilternet3":
        network = DeepFilterNet3(source.path, threads=threads or 0)
        opened = External(network, None, rate or SAMPLE_RATE, None, UNKNOWN, network.describe())
    elif source.kind == "rnnoise":
        opened = External(RNNoise(source.files[0]), None, rate or SAMPLE_RATE, None, UNKNOWN, "RNNoise at 48000 Hz")
    elif source.kind == "dtln":
        engine = DtlnEngine(source.files, source.name, rate or SAMPLE_RATE, threads or 1, _workers(threads))
        words = f"DTLN, a stream of {engine.hop} samples at once, with its state"
        opened = External(partial(_stepped, engine), engine, engine.sample_rate, None, UNKNOWN, words)
    else:
        opened = _single(source, rate, threads)
    return _compensated(opened, source)


def _workers(threads: int | None) -> int:
    """Return how many channels run side by side."""
    return threads or usable_cores()


def _single(source: GraphSource, rate: int | None, threads: int | None) -> External:
    """Open a network of one graph, its delay still in."""
    path, stft = str(source.path), source.transform
    graph = open_graph(path, threads or 0)
    signature = recognise(graph)
    if signature.streams and threads is None:
        graph = open_graph(path, 1)  # several threads make a pass over one hop slower
    graph = graph.led_by(signature.source, signature.target)
    if signature.bins is not None:
        stft = _checked(path, stft, signature)
    if signature.kind == "gains" and not (source.facts and source.facts.log_power):
        hint = "if it is of another project, run it in a function of your own, see docs/your-own-teacher.md"
        raise InputError(path, f"takes {signature.describe()}", "a preset that says what the features are", hint)
    rate = rate or graph.sample_rate(SAMPLE_RATE)
    engine = _engine(graph, stft, signature, source.name, rate, _workers(threads))
    run = _whole(graph, stft, signature) if engine is None else partial(_stepped, engine)
    batch = partial(whole.run_batch, graph, signature) if signature.batches else None
    longest = signature.length if signature.kind == "wave" else None
    return External(run, engine, rate, signature, UNKNOWN, signature.describe(), batch, longest, graph.shrink)


def _compensated(opened: External, source: GraphSource) -> External:
    """Measure the delay of what was opened, and take it off."""
    check_shape(str(source.path), opened.sample_rate, 1)
    delay = measure_delay(opened.run, opened.sample_rate, str(source.path), opened.longest)
    run, batch, longest = opened.run, opened.run_batch, opened.longest
    if opened.engine is not None:
        if delay.samples < 0:
            found = f"its estimate is {-delay.samples} samples early"
            raise InputError(str(source.path), found, "a stream that is on time or late")
        opened.engine.delay = delay.samples
    elif delay.samples:
        run = delay.taken_off(run)
        batch = None if batch is None else delay.taken_off(batch)
        longest = None if longest is None else longest - abs(delay.samples)
    notes = f"{source.path}: {opened.notes}; {delay}"
    return replace(opened, run=run, run_batch=batch, longest=longest, delay=delay, notes=notes)


def _checked(path: str, stft: Stft | None, signature: Signature) -> Stft:
    """Return the transform, if there is one and it fits the graph."""
    if stft is None:
        known = ", ".join(PRESETS)
        hint = f"stft: give n_fft, hop and window in a model card (docs/teachers.md), or a preset, PRESET:FILE: {known}"
        raise InputError(path, f"takes spectra of {signature.bins} bins, and no transform is given", hint=hint)
    if stft.bins != signature.bins:
        raise InputError(path, f"takes {signature.bins} bins, and n_fft {stft.n_fft} gives {stft.bins}")
    return stft


def _engine(
    graph: Graph, stft: Stft | None, signature: Signature, name: str, rate: int, workers: int
) -> HopEngine | None:
    """Make the engine of a streaming graph, its delay still in; None for one that takes a whole recording."""
    if signature.kind == "wave stream":
        return WaveEngine(graph, signature, name, rate, workers)
    if signature.kind == "spectrum stream":
        assert stft is not None
        return SpectrumEngine(graph, signature, stft, name, rate, workers)
    return None


def _whole(graph: Graph, stft: Stft | None, signature: Signature) -> Enhance:
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
