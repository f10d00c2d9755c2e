"""Files that hold several recordings, one after the other, as ``cat`` and radio streams leave them: read as one.

libsndfile reads the first one alone. Torch-free.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sordino.audio.forward import ForwardFile, blocks_to_end
from sordino.audio.mp3 import LONGEST_FRAME, begins_frame, decoded_mp3, first_frame, stated_size
from sordino.audio.pcm import limited
from sordino.audio.temporary import temporary_sound
from sordino.errors import InputError

_PAGE_HEAD = 27
"""Bytes of the head of a page of Ogg, the last of which is the number of lengths that follow."""
_BEGINS = 2
"""Bit of a page that begins a stream."""
_SHORTEST = 1000
"""Bytes of an MP3, so that a small file is not taken for a million of them."""
_ID3_V1 = 128
"""Bytes of a tag at the end of an MP3."""


def joined(path: Path, most: float) -> BinaryIO | None:
    """Return all of the sound of a file with several recordings of one kind; None for any other file.

    Args:
        path: the file.
        most: samples of all channels above which it is refused.

    Raises:
        soundfile.LibsndfileError: one of them cannot be decoded.
        InputError: they differ in rate or channels, or hold more than ``most`` samples.
    """
    with open(path, "rb") as file:
        begins = file.read(4)
    ogg = begins == b"OggS"
    if not ogg and begins[:1] != b"\xff" and begins[:3] not in (b"ID3", b"TAG"):
        return None  # no MP3 either: most files are opened often, and need not be looked at further
    starts = _ogg_starts(path) if ogg else _mp3_starts(path)
    if len(starts) < 2:
        return None
    parts = list(pairwise([*starts, path.stat().st_size]))
    with _open(path, *parts[0], ogg, most) as first:
        rate, channels = first.samplerate, first.channels
    return temporary_sound(rate, channels, limited(_blocks(path, parts, ogg, most), most, path))


def _blocks(path: Path, parts: Sequence[tuple[int, int]], ogg: bool, most: float) -> Iterator[np.ndarray]:
    kinds: set[tuple[int, int]] = set()
    for part in parts:
        with _open(path, *part, ogg, most) as file:
            kinds.add((file.samplerate, file.channels))
            if len(kinds) > 1:
                found = " and ".join(f"of {rate} Hz with {channels} channels" for rate, channels in sorted(kinds))
                raise InputError(path, f"holds several recordings, {found}", "one kind", "split it into its parts")
            yield from blocks_to_end(file)


def _open(path: Path, start: int, end: int, ogg: bool, most: float) -> ForwardFile:
    if not ogg:
        return ForwardFile(decoded_mp3(path, start, most, end))
    with open(path, "rb") as file:
        file.seek(start)
        return ForwardFile(io.BytesIO(file.read(end - start)))


def _ogg_starts(path: Path) -> list[int]:
    """Return where each recording of a file in Ogg begins: at pages that begin a stream, behind others that do not."""
    starts, at, inside = [0], 0, False
    with open(path, "rb") as file:
        while len(head := file.read(_PAGE_HEAD)) == _PAGE_HEAD and head[:4] == b"OggS":
            begins = bool(head[5] & _BEGINS)
            if begins and inside:
                starts.append(at)
            inside = not begins
            at += _PAGE_HEAD + head[-1] + sum(file.read(head[-1]))
            file.seek(at)
    return starts


def _mp3_starts(path: Path) -> list[int]:
    """Return where the first frame of each MP3 in a file lies: the next one where the one before says that it ends."""
    starts: list[int] = []
    with open(path, "rb") as file:
        at = 0
        while at is not None:
            file.seek(at)
            head = file.read(_ID3_V1 + 10)
            if head[:3] == b"TAG":
                at, head = at + _ID3_V1, head[_ID3_V1:]
            at += first_frame(head)
            file.seek(at)
            frame = file.read(LONGEST_FRAME)
            if not begins_frame(frame):
                break
            starts.append(at)
            _, size = stated_size(frame)
            at = at + size if size >= _SHORTEST else None
    return starts
