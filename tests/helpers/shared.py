"""What is made once for all test files and all workers of pytest-xdist."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def session_folder(factory: pytest.TempPathFactory, worker: str) -> Path:
    """The folder of a whole session; ``worker`` is "master" where there is one process."""
    base = factory.getbasetemp()
    return base if worker == "master" else base.parent


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``make`` in the first process that asks for it; the others wait."""
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            half = folder.with_name(f"{folder.name}.half")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            make(half)
            half.rename(folder)
    return folder
