"""Reading features out of a network while it runs, without the network knowing."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from sordino.errors import InputError
from sordino.models.base import Enhancer
from sordino.types import View


def unwrap(module: nn.Module) -> Enhancer:
    """The network inside the wrappers of compilation, Fabric and data-parallel training."""
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
    """Run ``model`` on ``noisy`` [B,T] and read the named taps on the way.

    Hooks are put on the network itself, found inside any wrapper, and taken off again even when the pass fails; a tap
    that stayed silent is an error, never a missing loss term.

    Returns:
        The estimate and the features, each [B,C,N] (a tap declared as BNC is transposed).

    Raises:
        InputError: the network has no such tap.
        RuntimeError: a tap's module did not run during the pass, or returned no tensor.
    """
    network = unwrap(model)
    known, taps = network.taps, list(taps)
    caught: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in taps:
            if name not in known:
                raise InputError(f"tap {name}", f"{network.name} has no such tap", f"one of {', '.join(known)}")

            def catch(_module: nn.Module, _inputs: object, output: object, name: str = name) -> None:
                if isinstance(output, Tensor):
                    caught[name] = _full(output.transpose(1, 2) if known[name].axes == "BNC" else output)

            hooks.callback(network.get_submodule(known[name].path).register_forward_hook(catch).remove)
        wave = _full(model(noisy))
    silent = [name for name in taps if name not in caught]
    if silent:
        raise RuntimeError(f"{network.name}: no features came from {', '.join(silent)}")
    return View(wave, caught)


def _full(output: Tensor) -> Tensor:
    """Losses are computed in float32 at least, whatever precision the network ran in."""
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output
