"""What a streamer drives: a network that runs block by block, in whatever framework. Torch only where it is torch's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

from sordino.assets import locate
from sordino.errors import InputError
from sordino.inference import import_string

if TYPE_CHECKING:
    from sordino.models.base import StreamingEnhancer

STREAMING = "a network that can: dualpath, unet, or demucs with normalisation: running"


@runtime_checkable
class Engine(Protocol):
    """A network that runs block by block, on arrays.

    The output of ``step`` lags its input by ``delay`` samples; the first ``delay`` samples are no part of the estimate.

    Attributes:
        name: for people.
        sample_rate: Hz.
        hop: samples; a block is a whole number of hops.
        delay: samples.
    """

    name: str
    sample_rate: int
    hop: int
    delay: int

    def start(self, channels: int) -> Any:
        """The state before the first block, of so many signals side by side."""
        ...

    def step(self, block: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Enhance float32 [C,k hop]; returns as many samples, float32, and the state before the next block."""
        ...


def open_engine(model: Any = None, threads: int | None = None) -> Engine:
    """Make a model ready to run block by block.

    Args:
        model: an engine already; None for the default student; the name of a shipped one; a path to ONNX, of the
            recording's graph or the stream's own beside it, or to a checkpoint; or a network, that streams.
        threads: of the arithmetic. In ONNX 1 when None; in torch those of all the process, left alone when None.

    Raises:
        InputError: no such model, or one that cannot stream: it needs the whole signal, or is none of those above.
    """
    if isinstance(model, Engine):
        return model
    network, name = model, getattr(model, "name", getattr(model, "__name__", type(model).__name__))
    if isinstance(model, str) and import_string.is_name(model):
        name = model
    elif model is None or isinstance(model, (str, Path)):
        path = locate(model)
        name = path.stem
        if path.suffix == ".onnx":
            return _from_onnx(path, threads or 1)
        from sordino.models import load

        network = load(path)
    if getattr(network, "streams", False):
        return _TorchEngine(cast("StreamingEnhancer", network), name, threads)
    raise InputError(name, "cannot run block by block", STREAMING)


def _from_onnx(path: Path, threads: int) -> Engine:
    from sordino.inference.onnx_graph import StreamGraph, stream_file

    file = stream_file(path)
    if not file.is_file():
        found = f"cannot run block by block, as there is no {file.name} beside it"
        raise InputError(path, found, STREAMING + ", and both files of its export")
    return StreamGraph(file, threads)


class _TorchEngine:
    """A network in torch, in eval mode, on the device where it is."""

    def __init__(self, network: StreamingEnhancer, name: str, threads: int | None) -> None:
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        self.name, self.sample_rate, self.hop, self.delay = name, network.sample_rate, network.hop, network.delay
        self._torch, self._network = torch, network.eval()
        self._device = next(network.parameters()).device

    def start(self, channels: int) -> Any:
        return self._network.initial_state(channels)

    def step(self, block: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        with self._torch.inference_mode():
            estimate, state = self._network.step(self._torch.from_numpy(block).to(self._device), state)
        return estimate.float().cpu().numpy(), state
