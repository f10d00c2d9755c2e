"""Sound files that are read from start to end, and closed together with their file object. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soundfile

CHUNK = 2**16
"""Samples, or bytes, that are read at a time."""


class OwnFile(soundfile.SoundFile):
    """A sound file that closes the file object on which it was opened, such as that of ``temporary_sound``."""

    def close(self) -> None:
        super().close()
        if hasattr(self.name, "close"):
            self.name.close()


class ForwardFile(OwnFile):
    """A sound file that is read from start to end, without seeking.

    soundfile seeks after every block where the file is seekable. An MP3 in which libsndfile has sought continues with
    wrong samples, and in FLAC of unknown length it cannot seek.
    """

    def seekable(self) -> bool:
        return False


def blocks_to_end(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Yield the rest of a sound in blocks, float32 [n,C]."""
    while len(block := file.read(CHUNK, dtype="float32", always_2d=True)):
        yield block
