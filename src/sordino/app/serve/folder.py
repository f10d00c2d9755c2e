"""The folder of a server's files. What a killed server left is deleted by the next one that starts."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX, HELD = "sordino-serve-", "held"


@contextmanager
def own_folder() -> Generator[Path, None, None]:
    """Context manager with a new folder for one server, which is deleted with all that is in it.

    The server holds a lock on the folder itself, which ends with its process, however that ends. Folders that nobody
    holds are deleted first; on Windows, which cannot lock a folder, they stay.
    """
    if sys.platform != "win32":
        _delete_left()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        new = Path(name, "new")
        new.mkdir()
        with _locked(new):
            yield new.rename(Path(name, HELD))  # seen by others only now that it is locked


def _delete_left() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            about = folder.lstat()  # no link, behind which somebody else's files may be
            if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid():
                with _locked(folder / HELD):
                    shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path) -> Generator[None, None, None]:
    """Context manager that locks a folder; an OSError if another process has locked it."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
