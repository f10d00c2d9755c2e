"""Answers of a teacher on disk: a file for each piece of noisy speech, in half precision, and one that says whose.

    cache.json                 whose answers these are, and what is kept of each
    3f/3f81...e0.safetensors   the answer to the speech of that name, tensors without their batch axis

A file's name is a hash of the very samples that the teacher heard, mixed with a digest of ``cache.json``. So an answer
is never found for other speech or another teacher, whatever happened to the folder. Files are written whole or not at
all: many processes may read and write one folder, and one that is killed leaves nothing broken behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sordino.errors import InputError
from sordino.files import atomic, write_json

HEADER = "cache.json"
FORMAT = 2
"""Of what is kept; another number for any change in what an answer means. Names of answers are mixed with it too."""
_BLOCK = 4096
"""Bytes in which file systems count, by and large."""


def digest(value: Any) -> bytes:
    """A digest of plain values, the same for equal ones in every process."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode()).digest()


def halved(tensors: Mapping[str, Tensor], whose: str) -> dict[str, Tensor]:
    """Tensors in half precision and in main memory.

    Raises:
        InputError: a value that half precision cannot hold.
    """
    halves = {name: tensor.half().cpu() for name, tensor in tensors.items()}
    for name, half in halves.items():
        if not torch.isfinite(half).all():
            found = f"its {name} is not finite, or beyond {torch.finfo(half.dtype).max:g}, the end of half precision"
            raise InputError(f"teacher {whose}", found, hint="train without teacher.cache")
    return halves


class Store:
    """A folder of answers.

    Args:
        folder: made when the first answer is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def header(self) -> dict[str, Any] | None:
        """What ``claim`` wrote; None where there is no cache yet.

        Raises:
            InputError: something that is no cache of this version.
        """
        path = self.folder / HEADER
        try:
            header = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise InputError(path, f"not JSON ({error})", "what sordino writes into a teacher's cache") from error
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            found = "a cache of another version, whose answers mean something else"
            raise InputError(path, found, f"format {FORMAT}", "delete the folder, or give teacher.cache another one")
        return header

    def claim(self, header: Mapping[str, Any]) -> None:
        """Say whose answers the folder holds."""
        write_json(self.folder / HEADER, {"format": FORMAT, **header})

    def holds(self, key: str) -> bool:
        """Whether the answer of that name is there."""
        return self._path(key).is_file()

    def read(self, key: str) -> dict[str, Tensor] | None:
        """The answer of that name, float16 tensors; None if it is not there.

        Raises:
            InputError: a file that is there and broken.
        """
        path = self._path(key)
        try:
            return load(path.read_bytes())
        except FileNotFoundError:
            return None
        except SafetensorError as error:
            raise InputError(path, f"a damaged answer ({error})", hint="delete this file; it is made again") from error

    def write(self, key: str, answer: Mapping[str, Tensor]) -> None:
        """Keep an answer; one that is there already is replaced.

        Raises:
            InputError: the disk is full, or not writable.
        """
        with atomic(self._path(key)) as temporary:
            temporary.write_bytes(_serialised(answer))

    def count(self) -> int:
        """How many answers are there."""
        if not self.folder.is_dir():
            return 0
        folders = (entry for entry in self.folder.iterdir() if entry.is_dir())
        return sum(not name.startswith(".") for folder in folders for name in os.listdir(folder))

    def free(self) -> int:
        """Bytes that are free where the folder is or will be."""
        place = self.folder.absolute()
        return shutil.disk_usage(next(one for one in (place, *place.parents) if one.exists())).free

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"


def size_of(answer: Mapping[str, Tensor]) -> int:
    """Bytes that an answer takes on disk."""
    return -(-len(_serialised(answer)) // _BLOCK) * _BLOCK


def _serialised(answer: Mapping[str, Tensor]) -> bytes:
    return save({name: tensor.contiguous() for name, tensor in answer.items()})
