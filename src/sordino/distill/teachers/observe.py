"""Observation of a network's features by hooks, so that networks need no code for distillation."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from torch import Tensor, nn

from sordino.errors import InputError, did_you_mean
from sordino.models.base import Enhancer, name_of, unwrap
from sordino.placement import at_least_float32
from sordino.types import Tap, View

SHARE, STRIDES, MARGIN = 0.25, 4, 1024
"""How far the frames of a feature may reach beyond the signal, or end before it: a share of the signal, and so many of
the network's longest strides, and so many samples. Padding and context stay below this; a stride that is wrong by a
factor of 2 does not, unless the signal is short.
"""


def observe(model: nn.Module, noisy: Tensor, taps: Iterable[str] = ()) -> View:
    """Run ``model`` on ``noisy`` [B,T] and return its estimate with the features at the named taps.

    Hooks are put on the network itself, inside any wrapper, and removed even if the pass fails. A tap whose module did
    not run is an error: a loss term must not vanish unnoticed. Of a tuple, as recurrent and attention modules return
    it, the first member is the feature.

    Returns:
        The estimate [B,T], and features [B,C,N] or [B,C,N,F], whatever order of axes their taps declare.

    Raises:
        InputError: the network has no such tap; its module did not run, or ran twice; or its output is no tensor, has
            other axes or far more or fewer frames than the tap says, or was changed in place afterwards.
    """
    network = unwrap(model)
    known, taps = network.taps, list(taps)
    for name in taps:
        if name not in known:
            raise InputError(f"tap {name}", f"{name_of(network)} has no such tap", f"one of {', '.join(known)}")
    longest = max((tap.stride for tap in known.values()), default=0)
    readers = {name: _Reader(f"tap {name} of {name_of(network)}", known[name], noisy, longest) for name in taps}
    with ExitStack() as hooks:
        for reader in readers.values():
            handle = _tapped(network, reader).register_forward_hook(reader)
            hooks.callback(handle.remove)
        wave = at_least_float32(model(noisy))
    return View(wave, {name: reader.read() for name, reader in readers.items()})


def _tapped(network: Enhancer, reader: _Reader) -> nn.Module:
    """The module that a tap reads."""
    try:
        return network.get_submodule(reader.tap.path)
    except AttributeError as error:
        names = [name for name, _ in network.named_modules()]
        hint = did_you_mean(reader.tap.path, names)
        raise InputError(reader.where, f"the network has no module {reader.tap.path}", hint=hint) from error


class _Reader:
    """Hook that keeps the output of a tapped module as a feature.

    Args:
        where: the tap and its network, for messages.
        tap: its declaration.
        noisy: [B,T], the input of the network.
        longest: stride of all taps of the network, in samples.
    """

    def __init__(self, where: str, tap: Tap, noisy: Tensor, longest: float) -> None:
        self.where, self.tap, self.longest = where, tap, longest
        self.batch, self.samples = noisy.shape
        self.feature: Tensor | None = None
        self.version = 0

    def __call__(self, _module: nn.Module, _inputs: object, output: object) -> None:
        if self.feature is not None:
            hint = "tap one that runs once, such as an nn.Identity that only this use passes"
            raise InputError(self.where, f"{self.tap.path} runs more than once in a pass", "one output", hint)
        first = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(first, Tensor):
            kind = type(output).__name__ + (f" of {type(first).__name__}" if first is not output else "")
            raise InputError(self.where, f"{self.tap.path} returned a {kind}", "a tensor")
        self._check(list(first.shape))
        order = "BCNF" if "F" in self.tap.axes else "BCN"
        self.feature = at_least_float32(first.permute([self.tap.axes.index(axis) for axis in order]))
        self.version = _version(self.feature)

    def read(self) -> Tensor:
        """Return the feature after the pass: [B,C,N] or [B,C,N,F].

        Raises:
            InputError: there is none, or a later module has changed it.
        """
        if self.feature is None:
            raise InputError(self.where, f"{self.tap.path} did not run in the pass, so there is no feature")
        if _version(self.feature) != self.version:
            hint = f"write inplace=False, or x = x + y for x += y, in what follows {self.tap.path}; or tap that instead"
            raise InputError(self.where, f"the output of {self.tap.path} was changed in place after it", hint=hint)
        return self.feature

    def _check(self, shape: list[int]) -> None:
        """Refuse an output of other axes, or of far more or fewer frames, than the tap says."""
        axes, path = self.tap.axes, self.tap.path
        if len(shape) != len(axes) or shape[0] != self.batch:
            expected = f"{axes} of {self.batch} items, as its Tap says"
            raise InputError(self.where, f"{path} returned the shape {shape}", expected, "set the axes of its Tap")
        frames, stride = shape[axes.index("N")], self.tap.stride
        if abs(frames * stride - self.samples) > SHARE * self.samples + STRIDES * self.longest + MARGIN:
            found = f"{frames} frames of {stride:g} samples in a signal of {self.samples}"
            hint = f"set the stride and the axes of its Tap: {path} returned {shape}, read as {axes}"
            raise InputError(self.where, found, hint=hint)


def _version(tensor: Tensor) -> int:
    """Return how often a tensor, or one that shares its memory, was changed in place; 0 where torch does not count."""
    return 0 if tensor.is_inference() else tensor._version
