"""Networks for speech enhancement, one file each; all are an ``Enhancer``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sordino.errors import InputError
from sordino.models import checkpoint
from sordino.models.base import Enhancer, count_parameters
from sordino.models.checkpoint import DAMAGED, read_about, read_header, save
from sordino.models.claims import SizeLimit
from sordino.models.demucs import Demucs
from sordino.models.dualpath import DualPathNetwork
from sordino.models.manner import manner_base, manner_large, manner_small
from sordino.models.tstnn import Tstnn
from sordino.models.unet import UNet
from sordino.plugins import catalogue, modules

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
EXPECTED = "a class derived from sordino.models.Enhancer, or a function that returns one"

__all__ = ["MODELS", "Enhancer", "count_parameters", "create", "load", "read_about", "read_header", "rebuild", "save"]


def create(name: str, **arguments: Any) -> Enhancer:
    """Build a network with fresh weights.

    Args:
        name: a key of ``MODELS``, for example ``manner-s``; a name that an installed package adds; or
            ``package.module:Class``, a class derived from ``Enhancer`` or a function that returns one.
        arguments: arguments of its constructor, for example ``hidden=12, depth=3``.

    Raises:
        InputError: an unknown network, or arguments that its constructor refuses.
    """
    constructor = catalogue.find("network", name, MODELS, _is_network, EXPECTED)
    network = catalogue.made(f"model {name}", constructor, arguments)
    if name not in MODELS:
        if not isinstance(network, Enhancer):
            raise InputError(f"model {name}", f"made a {type(network).__name__}", EXPECTED)
        network.name, network.arguments = name, arguments
    return network


def _is_network(member: Any) -> bool:
    return issubclass(member, Enhancer) if inspect.isclass(member) else inspect.isfunction(member)


def load(path: str | Path, trust: str | Path | None = None) -> Enhancer:
    """Build the network stored in a checkpoint, with its weights, in evaluation mode.

    Args:
        path: the name of a student that ships with sordino, a ``.safetensors`` file written by sordino, or a published
            checkpoint: a pickled state dict, alone or inside another dict. The arguments of a published network are
            those stated in that dict; what it does not state is inferred from the tensors' names and shapes.
        trust: module that holds the class of its network, if that is neither sordino's nor an installed plugin's; see
            ``sordino.plugins.modules.trust``. It is imported. No file alone can cause that.

    Raises:
        InputError: there is no such file, it is no checkpoint, or it belongs to an unknown network.
    """
    if trust is not None:
        modules.trust(trust)
    return checkpoint.load(path, rebuild)


def rebuild(name: str, arguments: Mapping[str, Any], path: Path) -> Enhancer:
    """Build the network that a file names; like ``create``, but refuses code that only the file names.

    Args:
        name: of the network.
        arguments: of its constructor.
        path: of the file, which holds the network's weights: none that is much larger is built.

    Raises:
        InputError: as ``create`` does, the name stands for code that was not trusted, or the arguments are not those
            of such a network.
    """
    catalogue.stored("network", name, MODELS, path)
    if "name" in arguments:
        raise InputError(path, "its arguments have a name", hint=DAMAGED)
    try:
        with SizeLimit(path.stat().st_size):
            return create(name, **arguments)
    except InputError as error:
        raise InputError(f"{path}: {error.where}", error.found, error.expected, error.hint) from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError) as error:
        if name not in MODELS:
            raise
        raise InputError(path, f"its arguments make no {name} ({str(error)[:200]})", hint=DAMAGED) from error
