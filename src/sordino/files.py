"""Files: written atomically, under a temporary name and then renamed; texts are read up to a size limit."""

from __future__ import annotations

import errno
import mmap
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sordino.errors import InputError, printable

_PART = ".sordino-part-"
"""In the name of every file that is not whole yet; nobody else's files have it, so that it may be swept away."""
_LEFT = re.compile(re.escape(_PART) + r"[a-z0-9_]{8}(\.[^.]*)?$")  # what mkstemp makes of it
_STEM_BYTES = 100
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
LARGEST = 1 << 28
"""Bytes of a text that is read."""
_PART_BYTES = 1 << 20


@contextmanager
def atomic(path: str | Path, alone: bool = False) -> Iterator[Path]:
    """Context manager: yield a temporary path in the folder of ``path``, and rename it to ``path`` at the end.

    When the block fails or is interrupted the temporary file is removed and ``path`` keeps its old content.

    Args:
        path: file to write.
        alone: nobody else is writing it, so that what a killed writer left of it can be removed first.

    Raises:
        InputError: the folder cannot be written, the disk is full, or ``path`` is a device, a pipe or an open stream.
    """
    path = Path(path)
    _demand_file(path)
    if path.is_symlink():
        path = path.resolve()  # the file that it names is written; renaming over the link would remove it
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays: libraries such as libsndfile choose the format by it.
        # A name may have 255 bytes, so that a long one leaves no room for what is added here.
        stem = path.stem.encode(errors="ignore")[:_STEM_BYTES].decode(errors="ignore")
        prefix = f".{stem}{_PART}"
        for left in path.parent.iterdir() if alone else ():
            if left.name.startswith(prefix) and left.suffix == path.suffix and _LEFT.search(left.name):
                left.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        temporary = Path(name)
        os.close(handle)
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and error.filename not in (None, str(temporary), str(path)):
            raise  # of another file, which the block reads
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def demand_own(path: str | Path, mark: bytes, kind: str) -> None:
    """Check before long work that its output can be written, and does not replace a file of another kind.

    An empty file may be replaced. Nothing is left behind, not even a folder.

    Args:
        path: that will be written, whether it exists or not.
        mark: what all files of the kind hold.
        kind: its name, without an article.

    Raises:
        InputError: there is a file without the mark, one that cannot be read, or a place that cannot be written.
    """
    path = Path(path)
    try:
        _try_place(path)
        if not os.path.isfile(path) or not os.path.getsize(path):
            return
        own = holds(path, mark)
    except OSError as error:
        raise unwritable(path, error) from error
    if not own:
        raise InputError(path, f"is no {kind} of sordino, and would be lost", "a new name", "choose another")


def _try_place(path: Path) -> None:
    """Write a file without a name where ``path`` or the first folder above it that is missing will be."""
    _demand_file(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    place = existing_folder(path.resolve().parent)  # a link stands for the file that it names
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    with tempfile.TemporaryFile(dir=place):
        pass


def existing_folder(path: Path) -> Path:
    """Return ``path``, or the first folder above it that exists; a file that is in the way is returned, too."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return place


def holds(path: str | Path, *marks: bytes) -> bool:
    """Return whether a file holds all of ``marks``; it is not read into memory."""
    if not os.path.getsize(path):  # of which there is no map
        return not marks
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return all(content.find(mark) >= 0 for mark in marks)


def sweep(folder: str | Path) -> None:
    """Remove the temporary files that killed processes left in ``folder`` and below, while no process writes there."""
    for path in Path(folder).rglob(f".*{_PART}*"):
        if _LEFT.search(path.name):
            path.unlink(missing_ok=True)


def identity(path: str | Path) -> tuple[int, ...]:
    """Return numbers that change when a file is replaced or rewritten, even if its time stamp does not.

    The time of the last change of the inode cannot be set; that of the content can, and ``cp -p`` keeps it.
    """
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def unwritable(path: str | Path, error: OSError) -> InputError:
    """Return the error for a user whose ``path`` could not be written."""
    if error.errno in _NO_SPACE:
        return InputError(path, "the disk is full", hint="free some space and run again")
    found = f"cannot be written ({error.strerror or error})"
    if error.errno in _NOT_ALLOWED:
        return InputError(path, found, hint="choose another place, or change who may write there")
    return InputError(path, found, hint="choose another place")


def write_text(path: str | Path, text: str, errors: str = "replace") -> None:
    """Write ``text`` as UTF-8, atomically; what UTF-8 cannot hold, as in odd names of files, becomes ``?``.

    With ``errors="surrogateescape"`` such names are written as the bytes that they are on disk.
    """
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors)


def spreadsheet(value: object) -> object:
    """Return the content of a CSV cell: a text that a spreadsheet would evaluate begins with ``'``; numbers stay."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    if not text.startswith(("=", "+", "-", "@", "\t")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def read_text(path: str | Path, most: int = LARGEST, errors: str = "strict") -> str:
    """Read a text in UTF-8 up to a maximum number of bytes.

    Args:
        path: the file.
        most: bytes.
        errors: as ``bytes.decode`` takes it; ``surrogateescape`` lets through names that are not UTF-8.

    Raises:
        InputError: it is larger, or another encoding.
        OSError: it cannot be opened.
    """
    content = bytearray()
    with open(path, "rb") as file:
        while part := file.read(_PART_BYTES):
            content += part
            if len(content) > most:
                raise InputError(path, f"has more than {most:,} bytes", "a file of less")
    try:
        return content.decode(errors=errors)
    except UnicodeDecodeError as error:
        raise InputError(path, f"is not a text file (byte {error.start} is no UTF-8)", "UTF-8") from error


def visible(folder: Path) -> list[Path]:
    """List what is in a folder but for hidden files, which a file manager may put there."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def misdownloaded(path: str | Path, expected: str) -> InputError | None:
    """Return the error for a download that is a web page or a pointer of Git LFS; None if it is neither."""
    with open(path, "rb") as file:
        head = file.read(256).lstrip()
    if head.startswith(b"version https://git-lfs"):
        return InputError(path, "is a pointer of Git LFS, not the file itself", expected, "run git lfs pull")
    if head[:1] == b"<":
        return InputError(path, "is a web page or XML, not the file itself", expected, "download the file itself")
    return None


def slug(name: str) -> str:
    """Turn a name into a part of a file name: lower-case letters and digits, with hyphens for all else."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _demand_file(path: Path) -> None:
    """Refuse what is neither a file nor a folder, as renaming over it would remove it.

    ``/dev/stdout`` is a link to a stream.
    """
    streamed = path.is_symlink() and os.readlink(path).startswith("/proc/")
    if streamed or (path.exists() and not (path.is_file() or path.is_dir())):
        raise InputError(path, "is a device, a pipe or a stream", "a file")


def _flush(path: Path) -> None:
    with open(path, "r+b") as handle:  # Windows flushes only a file that is open for writing
        os.fsync(handle.fileno())


@cache
def _umask() -> int:
    """The mask of the process, asked for once: to ask is to change it for a moment, for all threads."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
