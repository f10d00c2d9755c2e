"""Losses: waveforms in, one value per item out.

Every loss is called with (reference, estimate, noisy), each [B,T], and returns [B]. The reference may be the clean
speech or a teacher's output, so any loss can be used for supervised training and for output distillation; losses do not
know about teachers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from sordino.errors import InputError
from sordino.losses.compressed import Compressed
from sordino.losses.llr import Llr
from sordino.losses.perceptual import Perceptual
from sordino.losses.si_sdr import SiSdr
from sordino.losses.snr import Snr
from sordino.losses.stoi import Stoi
from sordino.losses.time_frequency import TimeFrequency
from sordino.losses.waveform import L1, MultiResolution
from sordino.losses.weighted import Weighted
from sordino.plugins import catalogue

LOSSES: dict[str, type[nn.Module]] = {
    "weighted": Weighted,
    "multi_resolution": MultiResolution,
    "l1": L1,
    "time_frequency": TimeFrequency,
    "compressed": Compressed,
    "perceptual": Perceptual,
    "si_sdr": SiSdr,
    "snr": Snr,
    "stoi": Stoi,
    "llr": Llr,
}
"""Catalogue of losses: name -> class, whose constructor is the recipe's schema."""

__all__ = [
    "L1",
    "LOSSES",
    "Compressed",
    "Llr",
    "MultiResolution",
    "Perceptual",
    "SiSdr",
    "Snr",
    "Stoi",
    "TimeFrequency",
    "Weighted",
    "create",
]


class FunctionLoss(nn.Module):
    """A loss that a user wrote as a function.

    Args:
        function: (reference, estimate, noisy), each [B,T], and its own arguments -> [B].
        arguments: its own.
    """

    def __init__(self, function: Callable[..., Tensor], **arguments: Any) -> None:
        super().__init__()
        self.function, self.arguments = function, arguments

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        with catalogue.outside(self.function):
            return self.function(reference, estimate, noisy, **self.arguments)


def create(name: str, **arguments: Any) -> nn.Module:
    """Make a loss.

    Args:
        name: a key of ``LOSSES``; a name that an installed package adds; or ``package.module:object``, a class or a
            function of (reference, estimate, noisy).
        arguments: of the constructor, or of the function behind the three.

    Returns:
        A loss that learns nothing: the parameters of a network inside it are frozen, and it is in eval mode for every
        call, whatever the mode of the modules around it.

    Raises:
        InputError: no such loss, for which the message suggests the nearest name, or arguments that it refuses.
    """
    member = catalogue.find("loss", name, LOSSES, _is_loss, "a class derived from torch.nn.Module, or a function")
    constructor = member if isinstance(member, type) else partial(FunctionLoss, member)
    loss = catalogue.made(f"loss.{name}", constructor, arguments)
    loss.register_forward_pre_hook(_check_call)
    return loss.requires_grad_(False).eval()


def _check_call(loss: nn.Module, signals: tuple[Any, ...]) -> None:
    """Set a loss to eval mode, and refuse signals of unequal shapes, which torch would broadcast."""
    loss.eval()
    shapes = [list(signal.shape) for signal in signals if isinstance(signal, Tensor)]
    if any(shape != shapes[0] or len(shape) != 2 for shape in shapes):
        raise InputError("loss", f"signals of shapes {', '.join(map(str, shapes))}", "[B,T], the same for all of them")


def _is_loss(member: Any) -> bool:
    return issubclass(member, nn.Module) if inspect.isclass(member) else inspect.isfunction(member)
