"""MP3: where its sound begins, the length that it states, and its sound to the end, whatever it states. Torch-free."""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path
from typing import BinaryIO

from sordino.audio.forward import CHUNK, ForwardFile, blocks_to_end
from sordino.audio.pcm import limited
from sordino.audio.temporary import temporary_sound

LONGEST_FRAME = 4096
"""Bytes; no frame of an MP3 is longer."""


def begins_frame(head: bytes) -> bool:
    """Whether a frame of an MP3 begins here: 11 set bits, its sync, and layer III."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2


def first_frame(head: bytes) -> int:
    """Return the offset of the first frame of an MP3, behind its ID3 tag."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 127  # seven bits of each byte count
    return 10 + size


def stated_size(frame: bytes) -> tuple[int, int]:
    """Return how many frames and how many bytes an MP3 has by its first frame; 0 where that does not say."""
    tag = max(frame.find(b"Xing"), frame.find(b"Info"))
    if tag < 0 or len(frame) < tag + 16:
        return 0, 0
    flags, *fields = struct.unpack_from(">3I", frame, tag + 4)
    frames = fields.pop(0) if flags & 1 else 0
    return frames, fields[0] if flags & 2 else 0


def decoded_mp3(path: Path, start: int, most: float, end: int | None = None) -> BinaryIO:
    """Decode an MP3, from the offset of its first frame on to ``end``, into a temporary file of floats.

    libsndfile reads an MP3 that it can seek in up to the length that it guessed. Through a pipe it reads to the end.
    """
    source, sink = os.pipe()
    feeder = threading.Thread(target=_pour, args=(path, start, end, sink), daemon=True)
    feeder.start()
    try:
        with ForwardFile(source, closefd=True) as file:
            return temporary_sound(file.samplerate, file.channels, limited(blocks_to_end(file), most, path))
    finally:
        feeder.join()


def _pour(path: Path, start: int, end: int | None, sink: int) -> None:
    with open(path, "rb") as file, open(sink, "wb") as pipe:
        file.seek(start)
        try:
            while data := file.read(CHUNK if end is None else min(CHUNK, end - file.tell())):
                pipe.write(data)
        except BrokenPipeError:
            return  # the decoder has seen enough
