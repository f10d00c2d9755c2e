"""Put a model to work: an array, a file or a folder in, enhanced out.

The first tier: torch is imported only when a checkpoint or a network is asked for.
``import sotto; sotto.enhance(noisy, sample_rate)`` runs the student that ships with the package on onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from sotto import function
from sotto.audio import io
from sotto.audio.pcm import from_float, to_float
from sotto.errors import InputError
from sotto.shelf import locate
from sotto.verb import make_callable

WINDOW_S, OVERLAP_S = 30.0, 1.0
"""Longer signals are enhanced window by window, neighbours cross-faded, so that memory does not grow with them."""

SAMPLE_RATE = 16000
"""Hz, of a model that does not say."""

MINIMUM = 256
LOST_S = 0.1
"""What a model that works in whole frames may leave out at the end; ``enhance`` fills it with silence."""


@dataclass(frozen=True)
class Model:
    """A model ready to run: ``model(noisy) -> estimate``, float32 [T] at ``sample_rate``."""

    name: str
    sample_rate: int
    run: Callable[[np.ndarray], np.ndarray]
    minimum: int = MINIMUM
    """The shortest input, in samples, that the model takes; shorter ones are padded with silence."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What a file says of itself in its metadata."""

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Enhance one channel of any length, [T] -> [T]."""
        window, overlap = (round(seconds * self.sample_rate) for seconds in (WINDOW_S, OVERLAP_S))
        if len(noisy) <= window:
            return self._whole(noisy)
        estimate = np.zeros_like(noisy)
        fade = np.linspace(0.0, 1.0, overlap, dtype=np.float32)
        for start in range(0, len(noisy) - overlap, window - overlap):
            part = self._whole(noisy[start : start + window])
            if start:
                # The ramps of two neighbours sum to one, so a model that changes nothing leaves no seam.
                part[:overlap] *= fade[: len(part)]
                estimate[start : start + overlap] *= fade[::-1][: len(part)]
            estimate[start : start + len(part)] += part
        return estimate

    def _whole(self, noisy: np.ndarray) -> np.ndarray:
        padded = np.pad(noisy, (0, max(self.minimum - len(noisy), 0))).astype(np.float32, copy=False)
        estimate = np.asarray(self.run(padded))
        if estimate.ndim != 1 or len(estimate) < len(noisy) - LOST_S * self.sample_rate:
            found = f"gave an array of shape {estimate.shape} for {len(padded)} samples"
            raise InputError(self.name, found, "as many samples, [T]")
        return np.array(estimate[: len(noisy)], dtype=np.float32)


def open_model(model: Any = None, threads: int | None = None, sample_rate: int | None = None) -> Model:
    """Make a model ready to run.

    Args:
        model: None for the default student; the name of a shipped one; a path to ONNX or to a checkpoint (which needs
            ``sotto[train]``); a network; or a function from noisy [T] to estimate [T], float32, as it is or by its
            name, ``"package.module:function"``.
        threads: that a model in ONNX computes with; one per core when left out. Torch has a setting of its own.
        sample_rate: Hz at which a function works, or an ONNX file that does not say; 16000 when left out.

    Raises:
        InputError: no such model, a file that is none, or one that works at another rate than ``sample_rate``.
    """
    if sample_rate is not None and sample_rate <= 0:
        raise InputError("sample_rate", f"{sample_rate} Hz", "a rate above 0")
    ready = model if isinstance(model, Model) else _opened(model, threads, sample_rate or SAMPLE_RATE)
    if sample_rate not in (None, ready.sample_rate):
        raise InputError("sample_rate", f"{sample_rate} Hz, but {ready.name} works at {ready.sample_rate} Hz")
    return ready


def _opened(model: Any, threads: int | None, sample_rate: int) -> Model:
    """Open what is not open yet; ``sample_rate`` is for models that do not say theirs."""
    if isinstance(model, str) and function.is_name(model):
        return Model(model, sample_rate, function.find(model))
    if model is None or isinstance(model, (str, Path)):
        path = locate(model)
        if path.suffix == ".onnx":
            return _from_onnx(path, threads or 0, sample_rate)
        from sotto.models import load

        return _from_network(load(path), path.stem)
    if hasattr(model, "taps") and hasattr(model, "sample_rate"):
        return _from_network(model, model.name)
    if callable(model):
        run = cast("Callable[[np.ndarray], np.ndarray]", model)
        return Model(getattr(model, "__name__", type(model).__name__), sample_rate, run)
    raise InputError("model", f"a {type(model).__name__}", "a name, a path, a network or a function")


def enhance(noisy: np.ndarray, sample_rate: int, model: Any = None) -> np.ndarray:
    """Take the noise out of a recording.

    Args:
        noisy: [T] or [C,T], floating point with full scale at 1, or int16; channels are enhanced one by one.
        sample_rate: Hz; the signal is resampled to the model's rate and back, so what lies above half the model's
            rate (8 kHz for the students that ship) is removed.
        model: see ``open_model``.

    Returns:
        An array of the same shape and type.

    Raises:
        InputError: not audio: a wrong shape, type or rate, no samples, or NaN among them.
    """
    noisy = np.asarray(noisy)
    if noisy.ndim not in (1, 2) or noisy.size == 0:
        raise InputError("noisy", f"an array of shape {noisy.shape}", "[samples] or [channels, samples]")
    if sample_rate <= 0:
        raise InputError("sample_rate", f"{sample_rate} Hz", "a rate above 0")
    channels = np.atleast_2d(to_float(noisy, "noisy"))
    ready = open_model(model)
    estimate = np.stack([_channel(channel, sample_rate, ready) for channel in channels])
    return from_float(estimate, noisy.dtype).reshape(noisy.shape)


def enhance_file(source: str | Path, target: str | Path, model: Any = None) -> dict[str, Any]:
    """Enhance one audio file into another of the same rate, channels and, where the format allows, sample type.

    Returns:
        ``input``, ``output``, ``seconds``, ``sample_rate``, ``channels`` and ``gain_db``, which is below 0 if the
        estimate had to be turned down to avoid clipping.
    """
    about = io.info(source)
    noisy, rate = io.read(source)
    estimate = enhance(noisy, rate, model)
    subtype = about.subtype if Path(target).suffix.lower() == Path(source).suffix.lower() else None
    gain_db = io.write(target, estimate, rate, subtype)
    return {
        "input": str(source),
        "output": str(target),
        "seconds": about.seconds,
        "sample_rate": rate,
        "channels": about.channels,
        "gain_db": gain_db,
    }


def enhance_folder(source: str | Path, target: str | Path, model: Any = None) -> Iterator[dict[str, Any]]:
    """Enhance every audio file below a folder into another folder of the same layout, one after the other.

    Yields:
        What ``enhance_file`` returns for each file; or, for a file that cannot be enhanced, ``input`` and ``error``.
        The rest goes on.
    """
    source, target = Path(source), Path(target)
    if target.resolve() == source.resolve():
        raise InputError(target, "output and input are the same folder", do="choose another output")
    ready = open_model(model)
    for path in io.list_audio(source):
        try:
            yield enhance_file(path, target / path.relative_to(source), ready)
        except InputError as error:
            yield {"input": str(path), "error": str(error)}


def _channel(noisy: np.ndarray, sample_rate: int, model: Model) -> np.ndarray:
    estimate = model(io.resample(noisy, sample_rate, model.sample_rate))
    estimate = io.resample(estimate, model.sample_rate, sample_rate)
    # Resampling there and back may be a sample off.
    return np.pad(estimate, (0, max(len(noisy) - len(estimate), 0)))[: len(noisy)]


def _from_onnx(path: Path, threads: int, sample_rate: int) -> Model:
    from sotto.runtime import STREAM_SUFFIX, open_graph

    graph = open_graph(path, threads)
    source, *others = graph.inputs
    # An axis is a number where the graph takes no other length, else a name or None.
    fixed = [axis for axis in source.shape if isinstance(axis, int)]
    if others or len(source.shape) != 2 or fixed not in ([], [1]) or source.type != "tensor(float)":
        do = f"that is the graph of a stream; name {path.name.removesuffix(STREAM_SUFFIX)}.onnx"
        found, expected = f"takes {graph.describe()}", "one float input of [1, samples], of any length"
        raise InputError(path, found, expected, do if path.name.endswith(STREAM_SUFFIX) else "")

    def run(noisy: np.ndarray) -> np.ndarray:
        return graph.run([noisy[None]])[0][0]

    rate, minimum = graph.number("sample_rate", sample_rate, least=1), graph.number("minimum_samples", MINIMUM)
    return Model(graph.about.get("name", path.stem), rate, run, minimum, graph.about)


def _from_network(network: Any, name: str) -> Model:
    import torch

    device = next(network.parameters()).device
    network.eval()

    def run(noisy: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(noisy).to(device)[None])[0].float().cpu().numpy()

    return Model(name, network.sample_rate, run)


make_callable(__name__)
