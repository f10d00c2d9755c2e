"""The sizes that an ONNX file declares, read before onnxruntime reads them, which ends the process where they overflow.

A file is a message of protobuf (https://protobuf.dev/programming-guides/encoding): fields, each a number and a value,
which may be a message in turn. Only those on the way to the sizes are followed, so that weights are skipped.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence

# graph; its inputs, outputs and other values; type, tensor type, shape, axis, size: numbers of fields in onnx.proto.
_SIZES = ({7}, {11, 12, 13}, {2}, {1}, {2}, {1}, {1})
_HIGHEST_BIT = 63


def largest_axis(path: str) -> int:
    """Return the largest size that a file declares of an axis of any array; 0 for a file that is no message."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            # A size below 0 has the highest bit.
            return max((one for one in _values(content, 0, len(content), _SIZES) if one < 1 << _HIGHEST_BIT), default=0)
    except (OSError, ValueError, IndexError):
        return 0  # onnxruntime says why


def _values(content: mmap.mmap, start: int, end: int, way: Sequence[set[int]]) -> Iterator[int]:
    """Yield the numbers that lie at the end of the way through the message from ``start`` to ``end``."""
    for number, first, last in _fields(content, start, end):
        if number in way[0]:
            yield from [first] if len(way) == 1 else _values(content, first, last, way[1:])


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each field of a message, and where its value begins and ends; of a varint the value twice."""
    while start < end:
        key, start = _varint(content, start)
        match key & 7:
            case 0:  # a varint
                value, start = _varint(content, start)
                yield key >> 3, value, value
            case 1:  # eight bytes
                start += 8
            case 2:  # a message or a text
                size, start = _varint(content, start)
                yield key >> 3, start, start + size
                start += size
            case 5:  # four bytes
                start += 4
            case _:
                raise ValueError("no such kind of field")


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for shift in range(0, _HIGHEST_BIT + 1, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a longer number than there is")
