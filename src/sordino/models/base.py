"""Base classes of all networks: noisy waveform in, estimate of the clean waveform out; offline and streaming.

A network does not know about epochs, losses or teachers. It names the places where its features can be read (``taps``)
and holds what is needed to build it again (``name``, ``arguments``), so that a checkpoint describes itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sordino.errors import InputError
from sordino.types import Tap


class Enhancer(nn.Module):
    """Base of all networks: ``forward(noisy [B,T]) -> estimate [B,T]`` at ``sample_rate``.

    Attributes:
        name: name under which ``sordino.models.create`` builds this network.
        arguments: keyword arguments that build it; JSON-serialisable.
        sample_rate: rate of input and output in Hz.
        keeps_silence: whether digital silence in gives digital silence out; False if biases reach the output.
        last: module path of the linear layer that ends the network: negating its weights negates the estimate (random
            weights have a random sign, see ``sordino.training.polarity``); None if there is no such layer.
    """

    name: str
    arguments: dict[str, Any]
    sample_rate: int = 16000
    keeps_silence: bool = True
    last: str | None = None

    @property
    def taps(self) -> dict[str, Tap]:
        """Places whose features can be read, by public name; recipes use these names and never module paths."""
        return {}

    @property
    def streams(self) -> bool:
        """Whether the network, as configured, can also run block by block; see :class:`StreamingEnhancer`."""
        return False

    @property
    def latency_s(self) -> float | None:
        """Algorithmic latency of the stream in seconds; None for a network that needs the whole signal."""
        return None

    def forward(self, noisy: Tensor) -> Tensor:
        """Enhance ``noisy`` [B,T]; returns [B,T]."""
        raise TypeError(f"{type(self).__name__} is an abstract base class: define forward in a subclass")


def unwrap(module: nn.Module) -> Enhancer:
    """Return the network inside the wrappers of compilation, Fabric and data-parallel training."""
    while not isinstance(module, Enhancer):
        for attribute in ("_orig_mod", "module", "_forward_module"):
            inner = getattr(module, attribute, None)
            if isinstance(inner, nn.Module):
                module = inner
                break
        else:
            raise TypeError(f"{type(module).__name__} wraps no Enhancer")
    return module


def name_of(network: Enhancer) -> str:
    """Return the name of a network, or of its class if it was not built by name."""
    return getattr(network, "name", type(network).__name__)


def input_like(network: nn.Module) -> Tensor:
    """Return a tensor with the device and the type that a network's input has: those of its first weights or buffer of
    floating point; float32 on the CPU for a network that has none."""
    for tensor in chain(network.parameters(), network.buffers()):
        if tensor.is_floating_point():
            return tensor
    return torch.zeros(())


State = tuple[Tensor, ...]
"""Memory of a streaming network between two blocks: tensors of fixed shapes, the batch axis first."""


class StreamingEnhancer(Enhancer):
    """Base of causal networks that also run block by block.

    ``step``, called with one block of a signal after the other, gives the estimate that ``forward`` gives on the whole
    signal, ``delay`` samples late: the first ``delay`` samples that ``step`` returns are not part of the estimate, and
    ``delay`` samples of silence after the signal bring out the rest. A block of one hop must be complete before it can
    be processed, so the algorithmic latency is ``hop + delay``.

    Attributes:
        hop: samples; ``step`` takes any whole number of hops.
        delay: samples by which the output of ``step`` is later than its input.
        window: samples of a frame of the network's transform; None if it works without one.
        unrolls: whether ``step`` loops over the frames of a block in Python, so that a graph traced from it works only
            for the number of hops that it was traced with.
    """

    hop: int
    delay: int
    window: int | None = None
    unrolls: bool = False

    @property
    def streams(self) -> bool:
        return True

    @property
    def latency(self) -> int:
        """Algorithmic latency in samples: how many input samples after a sample the estimate of it can be computed."""
        return self.hop + self.delay

    @property
    def latency_s(self) -> float | None:
        return self.latency / self.sample_rate if self.streams else None

    def require_streaming(self, arguments: str) -> None:
        """Refuse to run block by block, unless this network, as configured, can.

        Raises:
            InputError: it needs the whole signal. The message names the ``arguments`` of one that streams.
        """
        if not self.streams:
            settings = ", ".join(f"{name}: {value}" for name, value in self.arguments.items())
            found = f"needs the whole signal ({settings})"
            raise InputError(f"model {self.name}", found, hint=f"build it with {arguments}")

    def initial_state(self, batch: int = 1) -> State:
        """Return the state for the first ``step``, that after silence, for ``batch`` signals at once.

        It is all zeros, so that a program that runs an exported graph needs only the shapes.
        """
        raise TypeError(f"{type(self).__name__} is an abstract base class: define initial_state in a subclass")

    def step(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        """Enhance the next ``block`` [B,k hop] of a stream; returns as many samples [B,k hop] and the new state.

        Use it in evaluation mode only: the batch statistics of a block are not those of the signal.
        """
        raise TypeError(f"{type(self).__name__} is an abstract base class: define step in a subclass")


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


_evaluated: WeakKeyDictionary[nn.Module, tuple[int, list[nn.Module]]] = WeakKeyDictionary()
"""How many are evaluating a network, and its modules that were in training mode before."""
_evaluated_lock = threading.Lock()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Context manager in which a network is in eval mode; after it, all its modules are in the modes they were in.

    Several threads may evaluate a network at once: the last one to leave restores the modes.
    """
    with _evaluated_lock:
        users, trained = _evaluated.get(network, (0, []))
        if not users:
            trained = [module for module in network.modules() if module.training]
            network.eval()
        _evaluated[network] = users + 1, trained
    try:
        yield
    finally:
        with _evaluated_lock:
            users, trained = _evaluated.pop(network)
            if users > 1:
                _evaluated[network] = users - 1, trained
            else:
                for module in trained:
                    module.training = True


def demand_named(network: Enhancer) -> None:
    """Refuse a network whose file could not say how to build it again.

    Raises:
        InputError: it has no ``name`` and ``arguments``, as one of a user's class has none that was not built by name.
    """
    kind = type(network)
    if not (hasattr(network, "name") and hasattr(network, "arguments")):
        hint = f'build it with sordino.models.create("{kind.__module__}:{kind.__name__}", ...)'
        raise InputError(kind.__name__, "has no name and arguments by which it could be built again", hint=hint)
