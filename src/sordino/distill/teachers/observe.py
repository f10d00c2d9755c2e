"""Observation of a network's features by hooks, so that networks need no code for distillation."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from torch import Tensor, nn

from sordino.errors import InputError
from sordino.models.base import Enhancer
from sordino.placement import at_least_float32
from sordino.types import View


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
        The estimate [B,T], and features [B,C,N] or [B,C,N,F] (a tap declared as BNC is transposed).

    Raises:
        InputError: the network has no such tap.
        RuntimeError: a tap's module did not run during the pass, or returned no tensor.
    """
    network = unwrap(model)
    known, taps = network.taps, list(taps)
    features: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in taps:
            if name not in known:
                raise InputError(f"tap {name}", f"{network.name} has no such tap", f"one of {', '.join(known)}")

            def store(_module: nn.Module, _inputs: object, output: object, name: str = name) -> None:
                if isinstance(output, Tensor):
                    feature = output.transpose(1, 2) if known[name].axes == "BNC" else output
                    features[name] = at_least_float32(feature)

            handle = network.get_submodule(known[name].path).register_forward_hook(store)
            hooks.callback(handle.remove)
        wave = at_least_float32(model(noisy))
    missing = [name for name in taps if name not in features]
    if missing:
        raise RuntimeError(f"{network.name}: no features came from {', '.join(missing)}")
    return View(wave, features)
