"""Sound files that may have been cut short though nothing in them is wrong: said beside a result, and not refused.

A program that died can leave a WAV whose header counts the first seconds alone; a copy that was interrupted leaves Ogg
without its last page, and so does a recording of a radio stream. Torch-free.
"""

from __future__ import annotations

import struct
from pathlib import Path

from sordino.audio.headers import HEAD, chunks

_PAGE = 27 + 255 + 255 * 255
"""Bytes of the longest page of Ogg."""
_ENDS = 4
"""Bit of a page of Ogg that ends a stream."""
_LEAST_S = 0.5
"""Seconds of sound behind that of the header from which they are worth a word."""


def doubts(path: Path) -> list[str]:
    """Return what speaks against it that all of a recording was read, as parts of a sentence."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
        size = file.seek(0, 2)
        file.seek(max(0, size - _PAGE))
        tail = file.read()
    if head[:4] == b"OggS":
        last = tail.rfind(b"OggS")
        if last < 0 or len(tail) < last + 6 or not tail[last + 5] & _ENDS:
            return ["the file lacks the mark of its end: it may have been cut short"]
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        behind = _behind(path, head, size)
        if behind >= _LEAST_S:
            return [f"the file holds {behind:.2f} s more than its header says: they were left out"]
    return []


def _behind(path: Path, head: bytes, size: int) -> float:
    """Return the seconds of sound that follow the chunk of sound of a WAV and belong to no chunk."""
    rate = 0
    for name, at, length in chunks(head, 12, "<I"):
        if name == b"fmt " and at + 16 <= len(head):
            (rate,) = struct.unpack_from("<I", head, at + 12)
        if name == b"data" and length and rate:
            end = at + 4 + length + length % 2
            with open(path, "rb") as file:
                file.seek(end)
                follows = file.read(4)
            return 0.0 if follows.isascii() and follows.decode().isprintable() else (size - end) / rate
    return 0.0
