"""WAV files, chunk by chunk."""

from __future__ import annotations

import struct


def chunks(*parts: tuple[bytes, bytes], form: bytes = b"WAVE") -> bytes:
    """A file of chunks: the name of each and what it holds."""
    body = b"".join(struct.pack("<4sI", name, len(data)) + data + b"\0" * (len(data) % 2) for name, data in parts)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + form + body
