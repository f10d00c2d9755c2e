"""Save and load checkpoints: sordino's safetensors files, which describe themselves, and published checkpoints.

Nothing in a file is executed: safetensors holds tensors and text, and pickled checkpoints are opened with
``weights_only=True``.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from sordino import assets
from sordino.errors import InputError, MissingFile
from sordino.files import atomic, misdownloaded
from sordino.models import published
from sordino.models.base import Enhancer, demand_named, unwrap
from sordino.version import __version__

FORMAT, FORMER_FORMAT = "sordino-network-1", "sotto-network-1"
"""Format names in the header of a checkpoint; files of the second were written when the project was called sotto."""

DAMAGED = "copy or download it again"
OWN = "write one of a network of your own with sordino.models.save, see docs/your-own-teacher.md"


def save(network: Enhancer, path: str | Path, **about: Any) -> None:
    """Write a network's weights, and in the file's header what is needed to build it again.

    Args:
        network: its ``name``, ``arguments`` and ``sample_rate`` go into the header; it may be compiled or wrapped.
        path: file to write, which ends in ``.safetensors``; replaced atomically.
        about: further JSON-serialisable facts for the header, such as the recipe, the step or the validation score.

    Raises:
        InputError: the network has no name, the file has another suffix, or it cannot be written.
    """
    network = unwrap(network)
    demand_named(network)
    if Path(path).suffix != ".safetensors":
        raise InputError(path, "is no name of a checkpoint", "one that ends in .safetensors")
    header = {
        "format": FORMAT,
        "sordino": __version__,
        "name": network.name,
        "arguments": json.dumps(network.arguments),
        "sample_rate": str(network.sample_rate),
        "about": json.dumps(about),
    }
    tensors: dict[str, Tensor] = {}
    stored: set[int] = set()
    for name, value in network.state_dict().items():
        tensor = value.detach().cpu().contiguous()
        memory = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if memory in stored else tensor  # tied weights, which safetensors refuses
        stored.add(memory)
    with atomic(path) as temporary:
        # Not safetensors' own function that writes a file: its error on a full disk is no OSError.
        temporary.write_bytes(serialise(tensors, metadata=header))


def read_header(path: str | Path) -> dict[str, Any]:
    """Read the header of a checkpoint that sordino wrote.

    Returns:
        ``name``, ``arguments``, ``sample_rate``, ``sordino`` (the version that wrote it) and ``about``.

    Raises:
        InputError: there is no such file, or sordino did not write it.
    """
    path = assets.weights(path)
    with _open_safetensors(path) as file:
        header = file.metadata() or {}
    if header.get("format") not in (FORMAT, FORMER_FORMAT):
        raise InputError(path, "a safetensors file that sordino did not write", "a checkpoint of sordino's own")
    version_key = "sotto" if header["format"] == FORMER_FORMAT else "sordino"
    try:
        read = {
            "name": header["name"],
            "arguments": json.loads(header["arguments"]),
            "sample_rate": int(header["sample_rate"]),
            "sordino": header[version_key],
            "about": json.loads(header["about"]),
        }
    except (KeyError, ValueError, RecursionError) as error:
        raise InputError(path, f"its header is damaged ({error})", hint=DAMAGED) from error
    for key in ("arguments", "about"):
        if not isinstance(read[key], dict):
            raise InputError(path, f"its header is damaged ({key} is no mapping)", hint=DAMAGED)
    return read


def read_about(path: str | Path) -> dict[str, Any]:
    """Return what a checkpoint says of its training: recipe, step, scores; nothing where it is a published one."""
    path = assets.weights(path)
    return read_header(path)["about"] if _is_own(path) else {}


def load(path: str | Path, rebuild: Callable[[str, Mapping[str, Any], Path], Enhancer]) -> Enhancer:
    """Build the network stored in a checkpoint by ``rebuild`` and load its weights; see ``sordino.models.load``."""
    path = assets.weights(path)
    if not path.is_file():
        raise _missing(path, "give a .safetensors checkpoint, or a published one (.pt, .pth, .th)")
    if _is_own(path):
        header = read_header(path)
        name, arguments = header["name"], header["arguments"]
        with _open_safetensors(path) as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a mapping)
    else:
        name, arguments, state = _read_published(path)
    network = rebuild(name, arguments, path)
    fill(network, state, path)
    return network.eval()


def fill(network: Enhancer, state: Mapping[str, Tensor], where: str | Path) -> None:
    """Load ``state`` into ``network``.

    Raises:
        InputError: a tensor is missing, unknown or of another shape; the message names the first one.
    """
    own = network.state_dict()
    # A published state may lack batch norm's counters of batches, which have no influence on the output.
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    state = {**counters, **state}
    misfits = [f"lacks {name}" for name in own if name not in state]
    misfits += [f"has an unknown {name}" for name in state if name not in own]
    for name, value in own.items():
        if name in state and state[name].shape != value.shape:
            found = f"has {name} of shape {list(state[name].shape)} where the network has {list(value.shape)}"
            misfits.append(found)
    if misfits:
        description = f"{network.name} with {network.arguments}"
        raise InputError(where, f"weights of another network: {misfits[0]} ({len(misfits)} misfits)", description)
    network.load_state_dict(state)


def read_pickled(path: str | Path, expected: str, inert: Sequence[type] = (), hint: str = "") -> Any:
    """Open a file that ``torch.save`` wrote, without executing code: tensors and plain values only.

    Args:
        path: the file.
        expected: what the file should be, for the error message.
        inert: empty classes that replace the classes of the same full name in the file.
        hint: for the error message.

    Raises:
        InputError: the file is broken, or holds other objects.
    """
    other = misdownloaded(path, expected)  # an OSError here is the system's, below it is of places that the file names
    if other is not None:
        raise other
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                    found = "is no checkpoint: it is compressed, which torch does not do, and may take any memory"
                    raise InputError(path, found, expected)
        with torch.serialization.safe_globals(list(inert)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # on arbitrary bytes the unpickler raises arbitrary errors
        # The rest of its text is of torch's and the unpickler's own affairs, such as an empty list.
        stranger = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f": it holds a {stranger[1]}" if stranger else ""
        raise InputError(path, f"cannot be opened as weights alone{reason}", expected, hint) from error


def _missing(path: str | Path, hint: str) -> InputError:
    return MissingFile(path, "no such file", hint=assets.nearest_student(path) or hint)


def _is_own(path: Path) -> bool:
    """Return whether a checkpoint is one of sordino's by its suffix; the others are published ones."""
    return path.suffix.lower() == assets.OWN_CHECKPOINT


def _open_safetensors(path: str | Path) -> Any:
    if not Path(path).is_file():
        raise _missing(path, "give a checkpoint that sordino wrote (.safetensors)")
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        other = misdownloaded(path, "a checkpoint")
        found = f"not a readable safetensors file ({error})"
        raise other or InputError(path, found, hint="is the file complete?") from error


def _read_published(path: Path) -> tuple[str, dict[str, Any], published.State]:
    """Read a published checkpoint; returns the network's name, its arguments, and its state under sordino's names."""
    names = " or ".join(form.network for form in published.FORMATS)
    expected = f"a published {names} checkpoint: the state, alone or in a dict as its authors save it"
    state, package = published.unwrap(read_pickled(path, expected, published.foreign_classes(), OWN))
    form = published.find(state)
    if form is None:
        raise InputError(path, "no checkpoint of a network that is known here", expected, OWN)
    try:
        return published.read(form, state, package, path)
    except KeyError as error:
        raise InputError(path, f"holds a tensor of an unknown name, {error}", expected) from error
    except ValueError as error:
        raise InputError(path, f"a {form.network} with {error}", expected) from error
