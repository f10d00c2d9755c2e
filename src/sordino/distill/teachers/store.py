"""Outputs of a teacher on disk: one file for each segment of noisy speech, in half precision, and a header.

    cache.json                 which teacher gave these outputs, and what is stored of each
    3f/3f81...e0.safetensors   the outputs for one segment: tensors without their batch axis

Each file carries a checksum of its content and its key, so that a damaged or exchanged one is refused; files that older
versions wrote have none and are read as they are.

A file's name, its key, is a hash of the samples that went into the teacher, keyed by a digest of the header. So a
lookup can never find the outputs for other speech or of another teacher, whatever happened to the folder. Files are
written atomically: many processes may read and write one folder, and one that is killed leaves no broken file.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sordino.errors import InputError
from sordino.files import atomic, existing_folder
from sordino.json_files import fits, read_json, write_json
from sordino.types import Tap

HEADER = "cache.json"
FORMAT = 2
"""Version of the format; it changes whenever the stored tensors mean something else. Keys depend on it too."""
_CHECKSUM = "checksum"
"""Key of the checksum in the metadata of a file."""
_BLOCK = 4096
"""Size in bytes of the blocks of most file systems, in which files take up space."""


class Plan(NamedTuple):
    """State of a cache: segments with stored outputs, segments in all, and bytes that are still to be written."""

    kept: int
    total: int
    bytes: int


class _Teacher(TypedDict):
    """What a header says of the teacher."""

    name: str
    sample_rate: int
    taps: dict[str, Tap]


class _Header(TypedDict):
    """What a header holds."""

    format: int
    teacher: _Teacher
    facts: dict[str, Any]
    answers: dict[str, str | int]


def to_half(tensors: Mapping[str, Tensor], teacher: str) -> dict[str, Tensor]:
    """Convert outputs of the named teacher to half precision, in main memory.

    Raises:
        InputError: a value that half precision cannot hold.
    """
    halves = {name: tensor.half().cpu() for name, tensor in tensors.items()}
    for name, half in halves.items():
        if not torch.isfinite(half).all():
            found = f"its {name} is not finite, or beyond {torch.finfo(half.dtype).max:g}, the end of half precision"
            raise InputError(f"teacher {teacher}", found, hint="train without teacher.cache")
    return halves


class Store:
    """A folder of a teacher's outputs.

    Args:
        folder: created when the first file is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def header(self) -> dict[str, Any] | None:
        """Read the header that ``write_header`` wrote; None where there is no cache yet.

        Raises:
            InputError: the file is no header of this version.
        """
        path = self.folder / HEADER
        try:
            header = read_json(path, dict[str, Any], "header of a teacher's cache")
        except FileNotFoundError:
            return None
        if header.get("format") != FORMAT:
            found = "a cache of another version, whose answers mean something else"
            raise InputError(path, found, f"format {FORMAT}", "delete the folder, or give teacher.cache another one")
        if not fits(header, _Header):
            raise InputError(path, "is damaged", "what sordino writes into a teacher's cache", "delete the folder")
        return header

    def reductions(self) -> dict[str, str]:
        """Return the repr of the reduction of each output that is stored, by name; empty for a new folder."""
        header = self.header()
        if header is None:
            return {}
        reductions = dict(header["answers"])
        reductions.pop("samples", None)
        return reductions

    def write_header(self, header: Mapping[str, Any]) -> None:
        """Write the header, which says which teacher's outputs the folder holds."""
        write_json(self.folder / HEADER, {"format": FORMAT, **header})

    def holds(self, key: str) -> bool:
        """Whether there are outputs with this key."""
        return self._path(key).is_file()

    def read(self, key: str) -> dict[str, Tensor] | None:
        """Read the outputs with this key, float16 tensors; None if there are none.

        Raises:
            InputError: the file is damaged.
        """
        path = self._path(key)
        try:
            content = path.read_bytes()
            outputs = load(content)
        except FileNotFoundError:
            return None
        except SafetensorError as error:
            raise _damaged(path, str(error)) from error
        header = _header_of(content)
        stored = (header.get("__metadata__") or {}).get(_CHECKSUM)
        if stored not in (None, _checksum(content, header, key)):
            raise _damaged(path, "its checksum is another")
        return outputs

    def read_all(self, keys: Iterable[str]) -> dict[str, dict[str, Tensor]]:
        """Read the outputs of several keys, by key, without those that have none."""
        rows = {}
        for key in keys:
            row = self.read(key)
            if row is not None:
                rows[key] = row
        return rows

    def write(self, key: str, outputs: Mapping[str, Tensor]) -> None:
        """Write outputs under this key, in place of those that are there already.

        Raises:
            InputError: the disk is full, or not writable.
        """
        with atomic(self._path(key)) as temporary:
            temporary.write_bytes(_serialised(outputs, key))

    def count(self) -> int:
        """Return the number of segments with stored outputs."""
        if not self.folder.is_dir():
            return 0
        total = 0
        for entry in self.folder.iterdir():
            if entry.is_dir():
                total += sum(not name.startswith(".") for name in os.listdir(entry))  # a dot begins a temporary file
        return total

    def free(self) -> int:
        """Return the free bytes on the disk where the folder is or will be."""
        return shutil.disk_usage(existing_folder(self.folder)).free

    def plan(self, kept: int, total: int, each: int) -> Plan:
        """Return what segments take of which ``kept`` of ``total`` are stored, and the others take ``each`` bytes.

        Raises:
            InputError: the disk has less free space.
        """
        missing = total - kept
        plan = Plan(kept, total, missing * each)
        free = self.free()
        if plan.bytes > free:
            found = f"{missing:,} more answers take {plan.bytes / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free"
            raise InputError(self.folder, found, hint="choose another disk, or fewer teacher.draws")
        return plan

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"


def size_of(outputs: Mapping[str, Tensor]) -> int:
    """Return the bytes that the outputs for one segment take on disk, in whole blocks."""
    blocks = math.ceil(len(_serialised(outputs, "")) / _BLOCK)
    return blocks * _BLOCK


def _serialised(outputs: Mapping[str, Tensor], key: str) -> bytes:
    """Return the content of a file, with its checksum in the header's metadata."""
    tensors = {name: tensor.contiguous() for name, tensor in outputs.items()}
    plain = save(tensors)
    return save(tensors, {_CHECKSUM: _checksum(plain, _header_of(plain), key)})


def _checksum(content: bytes, header: Mapping[str, Any], key: str) -> str:
    """Return the CRC-32 of the tensors in a file, of their names, types and shapes, and of the key."""
    tensors = {name: about for name, about in header.items() if name != "__metadata__"}
    facts = json.dumps([key, tensors], sort_keys=True).encode()
    # Against decay, not against forgers; a cryptographic hash would take ten times as long.
    return f"{zlib.crc32(_tensors_of(content), zlib.crc32(facts)):08x}"


def _header_of(content: bytes) -> dict[str, Any]:
    """Return the header of a safetensors file: 8 bytes of its length, then JSON."""
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def _tensors_of(content: bytes) -> memoryview:
    return memoryview(content)[8 + int.from_bytes(content[:8], "little") :]


def _damaged(path: Path, found: str) -> InputError:
    return InputError(path, f"a damaged answer ({found})", hint="delete this file; it is made again")
