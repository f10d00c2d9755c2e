"""Find sound files that can be read but may have been cut short: the result mentions it, and the file is not refused.

A program that died can leave a WAV whose header counts the first seconds alone; a copy that was interrupted leaves Ogg
without its last page, and so does a recording of a radio stream. Torch-free.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from sordino.audio.headers import HEAD, chunks

_PAGE = 27 + 255 + 255 * 255
"""Bytes of the longest page of Ogg."""
_ENDS = 4
"""Bit of a page of Ogg that ends a stream."""
_LEAST_S = 0.5
"""Seconds of sound beyond the length in the header; fewer are not reported."""


def doubts(path: Path) -> list[str]:
    """Return the reasons why some of a recording may be missing, as parts of a sentence."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
        size = file.seek(0, os.SEEK_END)
        if head[:4] == b"OggS" and not _ends(file, size):
            return ["the file lacks the mark of its end: it may have been cut short"]
        behind = _behind(file, head, size) if head[:4] == b"RIFF" and head[8:12] == b"WAVE" else 0.0
    if behind < _LEAST_S:
        return []
    return [f"the file holds {behind:.2f} s more than its header says: they were left out"]


def _ends(file: BinaryIO, size: int) -> bool:
    """Return whether the last page of Ogg says that it is the last."""
    file.seek(max(0, size - _PAGE))
    tail = file.read()
    last = tail.rfind(b"OggS")
    return last >= 0 and len(tail) >= last + 6 and bool(tail[last + 5] & _ENDS)


def _behind(file: BinaryIO, head: bytes, size: int) -> float:
    """Return the seconds of sound that follow the chunk of sound of a WAV and belong to no chunk."""
    rate = 0
    for name, at, length in chunks(head, 12, "<I"):
        if name == b"fmt " and at + 16 <= len(head):
            (rate,) = struct.unpack_from("<I", head, at + 12)
        if name == b"data" and length and rate:
            end = at + 4 + length + length % 2
            file.seek(end)
            follows = file.read(4)
            return 0.0 if follows.isascii() and follows.decode().isprintable() else (size - end) / rate
    return 0.0
