"""Observation of a network's features by hooks, so that networks need no code for distillation."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from torch import Tensor, nn

from sordino.errors import InputError
from sordino.models.base import Enhancer
from sordino.placement import at_least_float32
from sordino.types import Tap, View

SHARE, STRIDES, MARGIN = 0.25, 4, 1024
"""How far the frames of a feature may reach beyond the signal, or end before it: a share of the signal, and so many of
the network's longest strides, and so many samples. Padding and context stay below this; a stride that is wrong by a
factor of 2 does not, unless the signal is short.
"""


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


def observe(model: nn.Module, noisy: Tensor, taps: Iterable[str] = ()) -> View:
    """Run ``model`` on ``noisy`` [B,T] and return its estimate with the features at the named taps.

    Hooks are put on the network itself, inside any wrapper, and removed even if the pass fails. A tap whose module did
    not run is an error: a loss term must not vanish unnoticed.

    Returns:
        The estimate [B,T], and features [B,C,N] or [B,C,N,F], whatever order of axes their taps declare.

    Raises:
        InputError: the network has no such tap, or a feature has other axes, or far more or fewer frames, than its tap
            says.
        RuntimeError: a tap's module did not run during the pass, or returned no tensor.
    """
    network = unwrap(model)
    known, taps = network.taps, list(taps)
    features: dict[str, Tensor] = {}
    longest = max((tap.stride for tap in known.values()), default=0)
    with ExitStack() as hooks:
        for name in taps:
            if name not in known:
                raise InputError(f"tap {name}", f"{network.name} has no such tap", f"one of {', '.join(known)}")

            def store(_module: nn.Module, _inputs: object, output: object, name: str = name) -> None:
                if isinstance(output, Tensor):
                    features[name] = _placed(output, known[name], f"tap {name} of {network.name}", noisy, longest)

            handle = network.get_submodule(known[name].path).register_forward_hook(store)
            hooks.callback(handle.remove)
        wave = at_least_float32(model(noisy))
    missing = [name for name in taps if name not in features]
    if missing:
        raise RuntimeError(f"{network.name}: no features came from {', '.join(missing)}")
    return View(wave, features)


def _placed(output: Tensor, tap: Tap, where: str, noisy: Tensor, longest: float) -> Tensor:
    """Return a module's output as [B,C,N] or [B,C,N,F], if its axes and frames are those of its tap.

    Args:
        output: of the tapped module.
        tap: its declaration.
        where: the tap's name, for messages.
        noisy: [B,T], the input of the network.
        longest: stride of all taps of the network, in samples.

    Raises:
        InputError: other axes, or far more or fewer frames.
    """
    shape, (batch, samples) = list(output.shape), noisy.shape
    if len(shape) != len(tap.axes) or shape[0] != batch:
        expected = f"{tap.axes} of {batch} items, as its Tap says"
        raise InputError(where, f"{tap.path} returned the shape {shape}", expected, "set the axes of its Tap")
    frames = shape[tap.axes.index("N")]
    if abs(frames * tap.stride - samples) > SHARE * samples + STRIDES * longest + MARGIN:
        found = f"{frames} frames of {tap.stride:g} samples in a signal of {samples}"
        hint = f"set the stride and the axes of its Tap: {tap.path} returned {shape}, read as {tap.axes}"
        raise InputError(where, found, hint=hint)
    order = "BCNF" if "F" in tap.axes else "BCN"
    return at_least_float32(output.permute([tap.axes.index(axis) for axis in order]))
