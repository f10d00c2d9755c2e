"""Archive: one shard of a corpus, a tar file in WebDataset's form, and an index by which any recording is read alone.

A sample is ``KEY.noisy.flac``, ``KEY.clean.flac`` where there is one, and ``KEY.json`` (id, speaker, length in samples,
sample rate), one behind the other, as the ``webdataset`` library groups them. That library goes through a tar file from
its beginning, so it can neither shuffle all of a corpus nor go on in the middle of an epoch exactly. The index, a JSON
file of the same name, says where each sound lies, and training asks for it by number.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sordino.audio.mix import fit_noise
from sordino.audio.sound_files import decode, to_flac
from sordino.errors import InputError
from sordino.files import atomic, write_json
from sordino.types import Item

NAME = re.compile(r"(train|valid|test)-(\d{5})-of-(\d{5})\.tar")
"""The name of a shard: its split, its number, and how many there are."""
AGAIN = "delete it and run `sordino data shard` again"


class Extent(NamedTuple):
    """Where a sound lies in a tar file."""

    offset: int
    """Bytes before it."""
    size: int
    """Bytes."""
    crc: int
    """CRC-32 of these bytes."""


class Member(NamedTuple):
    """A recording or a pair in an archive."""

    id: str
    speaker: str
    length: int
    """Samples."""
    noisy: Extent
    clean: Extent | None


@dataclass(frozen=True)
class Archive:
    """A shard and what its index says."""

    path: Path
    """The tar file."""
    sample_rate: int
    members: Sequence[Member]
    left_out: Sequence[tuple[str, str]]
    """(id, reason) of recordings that could not be read when it was written."""
    size: int
    """Bytes of the tar file."""

    def read_through(self) -> None:
        """Read the whole tar file; InputError unless every sound in it is what it was."""
        for member in self.members:
            for extent in (member.noisy, member.clean):
                if extent is not None:
                    _bytes(self.path, extent, member.id)


def pack(path: Path, items: Iterable[tuple[str, Item]], sample_rate: int, left_out: Sequence[tuple[str, str]]) -> None:
    """Write an archive, the tar file first, so that an index says that both are whole.

    Args:
        path: of the tar file.
        items: key, without a dot, and recording of each.
        sample_rate: Hz.
        left_out: for the index; read when all items were.
    """
    contents: list[tuple[dict[str, Any], dict[str, int]]] = []
    index_of(path).unlink(missing_ok=True)  # of a tar file that was deleted, to be mended
    with atomic(path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, item in items:
                about = {"id": item.id, "speaker": item.speaker, "length": item.length}
                parts = {f"{key}.noisy.flac": to_flac(item.noisy, sample_rate)}
                if item.clean is not None:
                    parts[f"{key}.clean.flac"] = to_flac(item.clean, sample_rate)
                contents.append((about, {name: zlib.crc32(content) for name, content in parts.items()}))
                parts[f"{key}.json"] = json.dumps(about | {"sample_rate": sample_rate}).encode()
                for name, content in parts.items():
                    header = tarfile.TarInfo(name)  # dated 1970 and owned by nobody: the same every time
                    header.size = len(content)
                    tar.addfile(header, io.BytesIO(content))
        with tarfile.open(temporary) as tar:
            places = {place.name: (place.offset_data, place.size) for place in tar}
        size = temporary.stat().st_size
    members = []
    for about, sums in contents:
        extents = [Extent(*places[name], crc) for name, crc in sums.items()]
        members.append(Member(**about, noisy=extents[0], clean=extents[1] if len(extents) > 1 else None))
    index = {"sample_rate": sample_rate, "size": size, "members": members, "left_out": list(left_out)}
    write_json(index_of(path), index)


def index_of(path: Path) -> Path:
    """The index of a tar file."""
    return path.with_suffix(".json")


def open_archive(path: Path) -> Archive:
    """Read the index of a tar file.

    Raises:
        InputError: the index is missing or is none, or the tar file is missing or has another size.
    """
    if not path.is_file():
        raise InputError(path, "is missing", hint="copy it again, or run `sordino data shard` again")
    try:
        index: dict[str, Any] = json.loads(index_of(path).read_text("utf-8"))
        members = [
            Member(id, speaker, length, Extent(*noisy), Extent(*clean) if clean else None)
            for id, speaker, length, noisy, clean in index["members"]
        ]
        left_out = [(id, reason) for id, reason in index["left_out"]]
        archive = Archive(path, index["sample_rate"], members, left_out, index["size"])
    except FileNotFoundError as error:
        raise InputError(path, f"has no index {index_of(path).name}", hint=AGAIN) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(index_of(path), "is no index of a shard", hint=AGAIN) from error
    if path.stat().st_size != archive.size:
        raise InputError(path, f"has {path.stat().st_size} bytes", f"{archive.size}", AGAIN)
    return archive


class Sounds:
    """One side of the pairs in archives, read as :class:`sordino.data.recordings.Recordings` reads files.

    Args:
        members: tar file, where in it, samples and id of each sound.
    """

    def __init__(self, members: Sequence[tuple[Path, Extent, int, str]]) -> None:
        self.members = list(members)
        self.lengths = np.array([length for _, _, length, _ in members], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.members)

    def read(self, index: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """Samples of sound ``index``: float32 ``[T]``, shorter than ``length`` where it ends earlier.

        Raises:
            InputError: the bytes are not those that were written.
        """
        path, extent, _, id = self.members[index]
        return decode(_bytes(path, extent, id), f"{path}: {id}", start, length)

    def loop(self, index: int, offset: int, length: int) -> np.ndarray:
        """Exactly ``length`` samples of sound ``index`` from ``offset`` on, starting over where it ends."""
        return fit_noise(self.read(index), length, offset)


def _bytes(path: Path, extent: Extent, id: str) -> bytes:
    try:
        with path.open("rb") as tar:
            tar.seek(extent.offset)
            content = tar.read(extent.size)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})", hint=AGAIN) from error
    if zlib.crc32(content) != extent.crc:
        raise InputError(path, f"is damaged at {id}", hint=AGAIN)
    return content
