"""A folder of sound files enhanced into another, several at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from sordino.audio import sound_files
from sordino.errors import InputError
from sordino.inference.files import enhance_file
from sordino.inference.model import open_model
from sordino.inference.pipeline import HighBand, check_blend


class _Stopped(Exception):
    """What ends the files that are under way when nobody wants them any more."""


def enhance_folder(
    source: str | Path,
    target: str | Path,
    model: Any = None,
    *,
    strength_db: float | None = None,
    high_band: HighBand = "drop",
    keep_rate: bool = True,
    workers: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Enhance every audio file below a folder into another folder of the same layout.

    Args:
        source: the folder.
        target: another.
        model: see ``open_model``; one in ONNX that is not open yet shares the cores out among the files.
        strength_db: see ``enhance_file``, and so for ``high_band`` and ``keep_rate``.
        high_band: see there.
        keep_rate: see there.
        workers: files at once. When left out, one for each core with a model in ONNX, and one with others: torch has
            all cores at work on one file, and a function of yours may not bear to be called twice at once.

    Yields:
        What ``enhance_file`` returns for each file, in the order in which they are done; or, for a file that cannot be
        enhanced, ``input`` and ``error``. The rest goes on.

    Raises:
        InputError: no such folder, one folder for both, no such model, or options that contradict each other.
    """
    check_blend(strength_db, high_band, keep_rate)
    source, target = Path(source), Path(target)
    if target.resolve() == source.resolve():
        raise InputError(target, "output and input are the same folder", hint="choose another output")
    files, cores = sound_files.list_audio(source), os.cpu_count() or 1
    ready = open_model(model, threads=max(cores // max(len(files), 1), 1))
    stopped = threading.Event()

    def check(_done_s: float, _total_s: float) -> None:
        if stopped.is_set():
            raise _Stopped

    def one(path: Path) -> dict[str, Any]:
        check(0, 0)
        options = {"strength_db": strength_db, "high_band": high_band, "keep_rate": keep_rate, "progress": check}
        try:
            return enhance_file(path, target / path.relative_to(source), ready, **options)
        except InputError as error:
            return {"input": str(path), "error": str(error)}

    with ThreadPoolExecutor(workers or (cores if ready.shareable else 1)) as pool:
        coming = [pool.submit(one, path) for path in files]
        try:
            for done in as_completed(coming):
                yield done.result()
        finally:
            # After Ctrl-C, or when the caller has had enough: those under way leave nothing behind.
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
