"""The contract of every network: noisy waveform in, estimate of the clean waveform out; and of those that stream.

A network knows nothing of epochs, losses or teachers. It names the places where its features can be read
(``taps``) and carries what is needed to build it again (``name``, ``arguments``), so that a checkpoint describes
itself.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sordino.types import Tap


class Enhancer(nn.Module):
    """Base of all networks: ``forward(noisy [B,T]) -> estimate [B,T]`` at ``sample_rate``.

    Attributes:
        name: the name under which ``sordino.models.create`` builds this network.
        arguments: the keyword arguments that build it; JSON-serialisable.
        sample_rate: Hz of input and output.
        keeps_silence: whether digital silence comes out as such; a network whose biases reach its output sounds.
        last: module path of the linear layer that ends the network, which negated negates the estimate (the sign of
            random weights is a matter of chance, see ``sordino.training.polarity``); None where there is none.
    """

    name: str
    arguments: dict[str, Any]
    sample_rate: int = 16000
    keeps_silence: bool = True
    last: str | None = None

    @property
    def taps(self) -> dict[str, Tap]:
        """Public name -> place whose features can be read; recipes use these names, never module paths."""
        return {}

    @property
    def streams(self) -> bool:
        """Whether the network, as it is configured, also runs block by block; see :class:`StreamingEnhancer`."""
        return False

    @property
    def latency_s(self) -> float | None:
        """Algorithmic latency of the stream in seconds; None for a network that needs the whole signal."""
        return None

    def forward(self, noisy: Tensor) -> Tensor:
        """Enhance ``noisy`` [B,T]; returns [B,T]."""
        raise TypeError(f"{type(self).__name__} is a contract, not a network: it has no forward pass")


State = tuple[Tensor, ...]
"""What a streaming network remembers between two blocks: tensors whose shapes never change, the batch axis first."""


class StreamingEnhancer(Enhancer):
    """A causal network that also runs block by block: ``step`` over a signal gives what ``forward`` gives on it whole.

    The estimate comes out ``delay`` samples late: the first ``delay`` samples that ``step`` returns are no part of it,
    and a signal that ends is followed by that much silence to get the rest. Whoever feeds single blocks waits for
    ``hop`` samples more, so the network's algorithmic latency is ``hop + delay``.

    Attributes:
        hop: samples; ``step`` takes any whole number of hops.
        delay: samples by which the output of ``step`` lags its input.
        unrolls: whether ``step`` goes through a block frame by frame in Python, so that a graph traced from it holds
            the number of hops that it was traced with.
    """

    hop: int
    delay: int
    unrolls: bool = False

    @property
    def streams(self) -> bool:
        return True

    @property
    def latency(self) -> int:
        """Algorithmic latency in samples: how far ahead of a sample of the estimate the input must have come."""
        return self.hop + self.delay

    @property
    def latency_s(self) -> float | None:
        return self.latency / self.sample_rate if self.streams else None

    def initial_state(self, batch: int = 1) -> State:
        """What to hand to the first ``step``: the memory of silence, for ``batch`` signals side by side.

        All zeros, so that whoever runs an exported graph needs the shapes alone.
        """
        raise TypeError(f"{type(self).__name__} is a contract, not a network: it has no state")

    def step(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        """Enhance the next ``block`` [B,k hop] of a stream; returns as many samples [B,k hop] and the new state.

        Causal networks only, in eval mode: batch statistics of a block are not those of the signal.
        """
        raise TypeError(f"{type(self).__name__} is a contract, not a network: it has no step")


def count_parameters(network: nn.Module) -> int:
    """The number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
