"""Keys of a teacher's outputs on disk: under other facts, or for other speech, every segment has another key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sordino.distill.teachers.store import FORMAT


def hash_key(*parts: Mapping[str, Any]) -> bytes:
    """Return a digest of parts of a header, plain values; equal ones have the same digest in every process."""
    return hashlib.blake2b(json.dumps((FORMAT, *parts), sort_keys=True).encode()).digest()


def segment_keys(noisy: Tensor, key: bytes) -> list[str]:
    """Return the key of each item of ``noisy`` [B,T]: a hash of its samples, keyed by ``hash_key`` of the header."""
    keys = []
    for wave in noisy.detach().float().cpu().numpy():
        keys.append(hashlib.blake2b(wave.tobytes(), key=key, digest_size=20).hexdigest())
    return keys
