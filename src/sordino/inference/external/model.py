"""Open a network that another project published as ONNX: recognise it, run it, compensate its delay."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sordino.errors import InputError
from sordino.inference.engine import Engine
from sordino.inference.external.engines import SpectrumEngine, WaveEngine
from sordino.inference.external.presets import PRESETS, preset_of
from sordino.inference.external.probe import Delay, measure_delay
from sordino.inference.external.recognise import Signature, recognise
from sordino.inference.external.spectra import Stft
from sordino.inference.onnx_graph import open_graph
from sordino.inference.pipeline import Stepper

SAMPLE_RATE = 16000


@dataclass(frozen=True)
class External:
    """A network of another project, opened.

    Attributes:
        engine: runs it hop by hop, with the delay that was measured.
        signature: what its graph takes.
        delay: measured on speech.
        notes: one line for the log: the kind, the delay and the gain.
    """

    engine: Engine
    signature: Signature
    delay: Delay
    notes: str


def open_external(
    path: str | Path, stft: Stft | None = None, sample_rate: int | None = None, threads: int = 1
) -> External:
    """Open a streaming graph and measure its delay.

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
    engine = _engine(path, stft or (preset.stft if preset else None), signature, rate, threads)
    engine.delay = 0

    def run(noisy: np.ndarray) -> np.ndarray:
        stepper = Stepper(engine, 1)
        return np.concatenate([stepper.feed(noisy[None]), stepper.flush()], axis=1)[0]

    delay = measure_delay(run, rate, path)
    engine.delay = delay.samples
    notes = f"{path}: {signature.describe()}; delay {delay.samples} samples, gain {delay.gain_db:+.1f} dB on speech"
    return External(engine, signature, delay, notes)


def _engine(path: str, stft: Stft | None, signature: Signature, rate: int, threads: int) -> WaveEngine | SpectrumEngine:
    graph, name = open_graph(path, threads), Path(path).stem
    if signature.kind == "wave stream":
        return WaveEngine(graph, signature, name, rate)
    if signature.kind != "spectrum stream":
        raise InputError(path, f"takes {signature.describe()}", "a streaming graph")
    if stft is None:
        hint = f"stft: {{n_fft: 512, hop: 256, window: hann}}, or preset: one of {', '.join(PRESETS)}"
        raise InputError(path, f"takes spectra of {signature.bins} bins, and no transform is given", hint=hint)
    if stft.bins != signature.bins:
        raise InputError(path, f"takes {signature.bins} bins, and n_fft {stft.n_fft} gives {stft.bins}")
    return SpectrumEngine(graph, stft, name, rate)
