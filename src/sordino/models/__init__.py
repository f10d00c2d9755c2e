"""Networks: one file each, all under the contract of ``Enhancer``."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sordino.errors import InputError
from sordino.models import checkpoint
from sordino.models.base import Enhancer, count_parameters
from sordino.models.checkpoint import read_about, read_header, save
from sordino.models.demucs import Demucs
from sordino.models.dualpath import DualPathNetwork
from sordino.models.manner import manner_base, manner_large, manner_small
from sordino.models.tstnn import Tstnn
from sordino.models.unet import UNet

MODELS: dict[str, Callable[..., Enhancer]] = {
    "manner-b": manner_base,
    "manner-s": manner_small,
    "manner-l": manner_large,
    "demucs": Demucs,
    "tstnn": Tstnn,
    "unet": UNet,
    "dualpath": DualPathNetwork,
}
"""The catalogue: name -> constructor, whose signature is the recipe's schema."""

__all__ = ["MODELS", "Enhancer", "count_parameters", "create", "load", "read_about", "read_header", "save"]


def create(name: str, **arguments: Any) -> Enhancer:
    """Build a network with fresh weights.

    Args:
        name: a key of ``MODELS``, for example ``manner-s``.
        arguments: what its constructor takes, for example ``hidden=12, depth=3``.

    Raises:
        InputError: no such network, or arguments that it does not take.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean {near[0]}?" if near else ""
        raise InputError(f"model {name}", "no such network", f"one of {', '.join(MODELS)}", hint)
    try:
        return MODELS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"model {name}", str(error)) from error


def load(path: str | Path) -> Enhancer:
    """Build the network that a checkpoint holds, in eval mode.

    Args:
        path: the name of a student that ships, a ``.safetensors`` file that sordino wrote, or a published checkpoint: a
            pickled state, alone or in a dict. Its arguments are those that the dict states, and else inferred from the
            tensors' names and shapes.

    Raises:
        InputError: no such file, not a checkpoint, or one of another network.
    """
    return checkpoint.load(path, create)
