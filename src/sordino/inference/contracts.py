"""The contracts between the parts that run a model: ``Process``, ``Engine`` and ``OpenModel``. No torch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:  # a recipe is read without numpy
    import numpy as np


class Process(Protocol):
    """The enhancement of one signal at the model's own rate: float32 [C,n] in, [C,m] out.

    All output together is as long as all input together.

    Attributes:
        name: name of the model, to show.
        sample_rate: Hz.
    """

    name: str
    sample_rate: int

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block, of any length; return the part of the estimate that is ready."""
        ...

    def flush(self) -> np.ndarray:
        """Return the rest of the estimate; nothing may be fed afterwards."""
        ...


@runtime_checkable
class Engine(Protocol):
    """A network that runs block by block, on arrays.

    The output of ``step`` lags its input by ``delay`` samples; the first ``delay`` samples are no part of the estimate.

    Attributes:
        name: name to show.
        sample_rate: Hz.
        hop: samples; a block is a whole number of hops.
        delay: samples.
    """

    name: str
    sample_rate: int
    hop: int
    delay: int

    def start(self, channels: int) -> Any:
        """Return the state before the first block, for this number of parallel signals."""
        ...

    def step(self, block: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Enhance float32 [C,k hop]; returns as many samples, float32, and the state before the next block."""
        ...


def latency_s(engine: Engine) -> float:
    """Return the algorithmic latency of an engine in seconds: a whole hop must be there, and the output lags behind."""
    return (engine.hop + engine.delay) / engine.sample_rate


@runtime_checkable
class OpenModel(Protocol):
    """A model that is open and ready to run; ``sordino.inference.model.Model`` is one."""

    name: str
    sample_rate: int

    def open(self, channels: int) -> AbstractContextManager[Process]:
        """Start enhancing one signal of ``channels`` channels."""
        ...
