"""Networks for speech enhancement, one file each; all are an ``Enhancer``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sordino.errors import InputError, did_you_mean
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
"""Catalogue of networks: name -> constructor, whose signature is the recipe's schema."""

__all__ = ["MODELS", "Enhancer", "count_parameters", "create", "load", "read_about", "read_header", "save"]


def create(name: str, **arguments: Any) -> Enhancer:
    """Build a network with fresh weights.

    Args:
        name: a key of ``MODELS``, for example ``manner-s``.
        arguments: arguments of its constructor, for example ``hidden=12, depth=3``.

    Raises:
        InputError: an unknown network, or arguments that its constructor refuses.
    """
    if name not in MODELS:
        expected = f"one of {', '.join(MODELS)}"
        raise InputError(f"model {name}", "no such network", expected, did_you_mean(name, MODELS))
    try:
        return MODELS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"model {name}", str(error)) from error


def load(path: str | Path) -> Enhancer:
    """Build the network stored in a checkpoint, with its weights, in evaluation mode.

    Args:
        path: the name of a student that ships with sordino, a ``.safetensors`` file written by sordino, or a published
            checkpoint: a pickled state dict, alone or inside another dict. The arguments of a published network are
            those stated in that dict; what it does not state is inferred from the tensors' names and shapes.

    Raises:
        InputError: there is no such file, it is no checkpoint, or it belongs to an unknown network.
    """
    return checkpoint.load(path, create)
