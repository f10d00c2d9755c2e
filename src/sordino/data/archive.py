"""Read and write one shard of a corpus: a tar file in WebDataset's format, and an index for random access.

A recording is stored as the consecutive files ``KEY.noisy.flac``, ``KEY.clean.flac`` if it has a reference, and
``KEY.json`` (id, speaker, length in samples, sample rate), as the ``webdataset`` library groups them. That library
reads a tar file from its beginning, so it can neither shuffle a whole corpus nor resume exactly within an epoch.
The index, a JSON file of the same name, states the position of every sound in the tar file, so that training can read
any recording by its number.
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
from typing import Any, NamedTuple, TypedDict

import numpy as np

from sordino.audio.mix import fit_noise
from sordino.audio.sound_files import decode, to_flac
from sordino.errors import InputError
from sordino.files import atomic
from sordino.json_files import read_json, write_json
from sordino.types import Item

SHARD_NAME = re.compile(r"(train|valid|test)-(\d{5})-of-(\d{5})\.tar")
"""Name of a shard: its split, its number, and the number of shards of the split."""
REWRITE_HINT = "delete it and run `sordino data shard` again"


MOST_SAMPLES = 5000
"""For each byte of FLAC: a block of silence has 65535 samples in 14 bytes."""


class Extent(NamedTuple):
    """Position of an encoded sound in a tar file."""

    offset: int
    """Bytes before it."""
    size: int
    """Its bytes."""
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


class _Index(TypedDict):
    """What the index of an archive holds."""

    sample_rate: int
    size: int
    members: list[tuple[str, str, int, tuple[int, int, int], tuple[int, int, int] | None]]
    left_out: list[tuple[str, str]]


@dataclass(frozen=True)
class Archive:
    """A shard, as its index describes it."""

    path: Path
    """The tar file."""
    sample_rate: int
    members: Sequence[Member]
    left_out: Sequence[tuple[str, str]]
    """(id, reason) of recordings that could not be read when the shard was written."""
    size: int
    """Bytes of the tar file."""

    def read_through(self) -> None:
        """Read the whole tar file; raises an InputError if a sound has changed since it was written."""
        for member in self.members:
            for extent in (member.noisy, member.clean):
                if extent is not None:
                    _bytes(self.path, extent, member.id)


def write_archive(
    path: Path, items: Iterable[tuple[str, Item]], sample_rate: int, left_out: Sequence[tuple[str, str]]
) -> None:
    """Write an archive: the tar file, then the index, so that an index proves that both are complete.

    Args:
        path: path of the tar file.
        items: (key without a dot, recording).
        sample_rate: Hz.
        left_out: for the index; it may grow while the items are read, and is used after the last.
    """
    contents: list[tuple[dict[str, Any], dict[str, int]]] = []
    # The index of an earlier tar file, which was deleted because it was damaged.
    index_path(path).unlink(missing_ok=True)
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
                    # Without date and owner, so that the same recordings always give the same bytes.
                    header = tarfile.TarInfo(name)
                    header.size = len(content)
                    tar.addfile(header, io.BytesIO(content))
        # Only a second pass knows where the contents lie behind their headers.
        with tarfile.open(temporary) as tar:
            places = {place.name: (place.offset_data, place.size) for place in tar}
        size = temporary.stat().st_size
    members = []
    for about, checksums in contents:
        extents = [Extent(*places[name], crc) for name, crc in checksums.items()]
        members.append(Member(**about, noisy=extents[0], clean=extents[1] if len(extents) > 1 else None))
    index = {"sample_rate": sample_rate, "size": size, "members": members, "left_out": list(left_out)}
    write_json(index_path(path), index)


def index_path(path: Path) -> Path:
    """Return the path of a tar file's index."""
    return path.with_suffix(".json")


def open_archive(path: Path) -> Archive:
    """Read the index of a tar file.

    Raises:
        InputError: the tar file or the index is missing, the index is damaged, or the tar file has another size.
    """
    if not path.is_file():
        raise InputError(path, "is missing", hint="copy it again, or run `sordino data shard` again")
    try:
        index = read_json(index_path(path), _Index, "index of a shard", REWRITE_HINT)
    except FileNotFoundError as error:
        raise InputError(path, f"has no index {index_path(path).name}", hint=REWRITE_HINT) from error
    members = []
    for id, speaker, length, noisy, clean in index["members"]:
        members.append(Member(id, speaker, length, Extent(*noisy), Extent(*clean) if clean else None))
        if not all(_lies_in(index["size"], Extent(*extent), length) for extent in (noisy, clean) if extent):
            raise InputError(index_path(path), f"names sound that the shard cannot hold, of {id!r}", hint=REWRITE_HINT)
    left_out = [(id, reason) for id, reason in index["left_out"]]
    archive = Archive(path, index["sample_rate"], members, left_out, index["size"])
    if path.stat().st_size != archive.size:
        raise InputError(path, f"has {path.stat().st_size} bytes", f"{archive.size}", REWRITE_HINT)
    return archive


def _lies_in(size: int, extent: Extent, length: int) -> bool:
    """Tell whether a tar file of ``size`` bytes has this extent, and whether it can hold so many samples."""
    return 0 <= extent.offset <= size - extent.size and 0 < length <= MOST_SAMPLES * extent.size


class ArchivedRecordings:
    """All noisy or all clean recordings of some archives, with the methods of ``sordino.data.recordings.Recordings``.

    Args:
        members: (tar file, position in it, length in samples, id).
    """

    def __init__(self, members: Sequence[tuple[Path, Extent, int, str]]) -> None:
        self.members = list(members)
        self.lengths = np.array([length for _, _, length, _ in members], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.members)

    def read(self, index: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """Read recording ``index`` from ``start`` on: float32 ``[T]``, shorter than ``length`` if it ends earlier.

        Raises:
            InputError: the bytes are not those that were written.
        """
        path, extent, _, id = self.members[index]
        return decode(_bytes(path, extent, id), f"{path}: {id}", start, length)

    def loop(self, index: int, offset: int, length: int) -> np.ndarray:
        """Read exactly ``length`` samples of recording ``index`` from ``offset`` on, repeating it as needed."""
        return fit_noise(self.read(index), length, offset)


def _bytes(path: Path, extent: Extent, id: str) -> bytes:
    """Read the bytes of an encoded sound and verify their checksum; ``id`` names it in an error."""
    try:
        with path.open("rb") as tar:
            tar.seek(extent.offset)
            content = tar.read(extent.size)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})", hint=REWRITE_HINT) from error
    if zlib.crc32(content) != extent.crc:
        raise InputError(path, f"is damaged at {id}", hint=REWRITE_HINT)
    return content
