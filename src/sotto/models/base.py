"""The contract of every network: noisy waveform in, estimate of the clean waveform out.

A network knows nothing of epochs, losses or teachers. It names the places where its features can be read
(``taps``) and carries what is needed to build it again (``name``, ``arguments``), so that a checkpoint describes
itself.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sotto.types import Tap


class Enhancer(nn.Module):
    """Base of all networks: ``forward(noisy [B,T]) -> estimate [B,T]`` at ``sample_rate``.

    Attributes:
        name: the name under which ``sotto.models.create`` builds this network.
        arguments: the keyword arguments that build it; JSON-serialisable.
        sample_rate: Hz of input and output.
    """

    name: str
    arguments: dict[str, Any]
    sample_rate: int = 16000

    @property
    def taps(self) -> dict[str, Tap]:
        """Public name -> place whose features can be read; recipes use these names, never module paths."""
        return {}

    def forward(self, noisy: Tensor) -> Tensor:
        """Enhance ``noisy`` [B,T]; returns [B,T]."""
        raise TypeError(f"{type(self).__name__} is a contract, not a network: it has no forward pass")


def count_parameters(network: nn.Module) -> int:
    """The number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
