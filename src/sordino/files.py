"""Atomic writing of files: write to a temporary file beside the target, flush it to disk, rename it over the target."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sordino.errors import InputError

_PART = ".sordino-part-"
"""In the name of every file that is not whole yet; nobody else's files have it, so that it may be swept away."""
_LEFT = re.compile(re.escape(_PART) + r"[a-z0-9_]{8}(\.[^.]*)?$")  # what mkstemp makes of it
_STEM_BYTES = 100
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def atomic(path: str | Path, alone: bool = False) -> Iterator[Path]:
    """Context manager: yield a temporary path in the folder of ``path``, and rename it to ``path`` at the end.

    When the block fails or is interrupted the temporary file is removed and ``path`` keeps its old content.

    Args:
        path: file to write.
        alone: nobody else is writing it, so that what a killed writer left of it can be removed first.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays: libraries such as libsndfile choose the format by it.
        # A name may have 255 bytes, so that a long one leaves no room for what is added here.
        stem = path.stem.encode()[:_STEM_BYTES].decode(errors="ignore")
        prefix = f".{stem}{_PART}"
        for left in path.parent.iterdir() if alone else ():
            if left.name.startswith(prefix) and _LEFT.search(left.name):
                left.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        temporary = Path(name)
        os.close(handle)
        os.chmod(temporary, 0o666 & ~_umask())
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sweep(folder: str | Path) -> None:
    """Remove the temporary files that killed processes left in ``folder`` and below; nobody may be writing there."""
    for path in Path(folder).rglob(f".*{_PART}*"):
        if _LEFT.search(path.name):
            path.unlink(missing_ok=True)


@contextmanager
def held(folder: str | Path) -> Iterator[None]:
    """Context manager: no other process may hold the folder meanwhile. The lock ends with its process, however it ends.

    Raises:
        InputError: another process holds it.
    """
    from filelock import FileLock, Timeout  # with torch, which needs it, for training alone

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(folder, "another run is at work there", hint="wait for it, or choose another --out") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # still held: whoever opened it meanwhile sees that it is gone
        lock.release()


def unwritable(path: str | Path, error: OSError) -> InputError:
    """Return the error for a user whose ``path`` could not be written."""
    if error.errno in _NO_SPACE:
        return InputError(path, "the disk is full", hint="free some space and run again")
    return InputError(
        path, f"cannot be written ({error.strerror or error})", hint="free some space or choose another place"
    )


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically; what UTF-8 cannot hold, as in odd names of files, becomes ``?``."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN is an error, as JSON has no such value."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def slug(name: str) -> str:
    """Turn a name into a part of a file name: lower-case letters and digits, with hyphens for all else."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _flush(path: Path) -> None:
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
