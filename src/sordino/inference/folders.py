"""Enhance a folder of sound files, or files from anywhere, into another folder, several files at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from sordino.audio.folders import list_audio
from sordino.distributed import usable_cores
from sordino.errors import InputError
from sordino.inference.blend import USUAL, Blend
from sordino.inference.files import enhance_file, place, writable_name
from sordino.inference.model import Model, open_model


def recordings_of(source: Path, target: Path, unreadable: list[InputError] | None = None) -> list[Path]:
    """Return the recordings below a folder, without those in the output folder where it lies below the other.

    Args:
        source: the folder.
        target: that of the output.
        unreadable: as ``list_audio`` takes it.

    Raises:
        InputError: no such folder, or it is the output folder or lies in it, where recordings could be lost.
    """
    output = target.resolve()
    if output in (source.resolve(), *source.resolve().parents):
        raise InputError(target, "holds the recordings themselves, which could be lost", hint="choose another output")
    return [path for path in list_audio(source, unreadable) if output not in path.resolve().parents]


class _Stopped(Exception):
    """Stops the files in progress when the caller stops reading results."""


def enhance_folder(
    source: str | Path,
    target: str | Path,
    model: Any = None,
    blend: Blend = USUAL,
    workers: int | None = None,
    skip_existing: bool = False,
) -> Iterator[dict[str, Any]]:
    """Enhance every audio file below a folder into another folder of the same layout.

    Args:
        source: the folder.
        target: another.
        model: see ``open_model``; if it is an ONNX model that takes whole recordings and is not open yet, the cores are
            divided among the files that are processed at the same time.
        blend: see ``enhance_file``.
        workers: files that are processed in parallel. By default one per core with an ONNX model, and one with other
            models: torch uses all cores for one file, and your own function may not allow parallel calls.
        skip_existing: skip recordings that already have an output. An output file that exists is always complete, so
            this continues an interrupted folder.

    Yields:
        What ``enhance_file`` returns for each file, in the order in which they are finished; for a file that fails, and
        for a folder that cannot be read, ``input`` and ``error``; for a skipped file ``input``, ``output`` and
        ``skipped``. The others are still processed.

    Raises:
        InputError: no such folder, an output folder that holds the other, or no such model.
    """
    source, target = Path(source), Path(target)
    unreadable: list[InputError] = []
    places = {}
    for path in recordings_of(source, target, unreadable):
        places[path] = target / path.relative_to(source).with_name(writable_name(path.name))
    for error in unreadable:
        yield {"input": error.where, "error": str(error)}
    yield from _enhance_all(places, model, blend, workers, skip_existing)


def enhance_files(
    sources: Sequence[str | Path],
    target: str | Path,
    model: Any = None,
    blend: Blend = USUAL,
    workers: int | None = None,
    skip_existing: bool = False,
) -> Iterator[dict[str, Any]]:
    """Enhance audio files from anywhere into one folder, each under its own name.

    Args:
        sources: the files.
        target: the folder.
        model, blend, workers, skip_existing: as for ``enhance_folder``, which says what is yielded, too.

    Raises:
        InputError: an output that is one of the files, would be that of two, or is a folder; or no such model.
    """
    origins: dict[Path, Path] = {}
    for path in map(Path, sources):
        output = place(path, f"{target}/")
        if output in origins:
            raise InputError(path, f"is not the only one that would become {output}", hint="rename it")
        origins[output] = path
    places = {path: output for output, path in origins.items()}
    yield from _enhance_all(places, model, blend, workers, skip_existing)


def _opened(model: Any, cores: int, at_once: int) -> Model:
    """Open a model for a number of files at once: alone, a file has the threads that it has without a folder."""
    if at_once < 2:
        return open_model(model)
    threads = max(cores // at_once, 1)
    ready = open_model(model, threads)
    if threads > 1 and ready.shareable and ready.engine is not None:
        return open_model(model, threads=1)  # its hops are too small to share
    return ready


def _enhance_all(
    places: Mapping[Path, Path], model: Any, blend: Blend, workers: int | None, skip_existing: bool
) -> Iterator[dict[str, Any]]:
    """Enhance each file of ``places`` into the other; see ``enhance_folder``."""
    if workers is not None and workers < 1:
        raise InputError("workers", str(workers), "1 or more")
    # Of two recordings with one output, that which keeps its name has it.
    owners = {output: path for path, output in sorted(places.items(), key=lambda one: one[0].name == one[1].name)}
    cores = usable_cores()
    ready = _opened(model, cores, min(workers or cores, len(places)))
    stopped = threading.Event()

    def check(*_: object) -> None:
        if stopped.is_set():
            raise _Stopped

    def one(path: Path) -> dict[str, Any]:
        check()
        target = places[path]
        try:
            if (owner := owners[target]) != path:
                raise InputError(path, f"has the same output as {owner}", hint="rename one of them")
            if target.is_dir():
                raise InputError(target, "is a folder", "the name of a file", "rename it, or choose another output")
            # A recording that is missing is an error, although an earlier output is there.
            if skip_existing and target.is_file() and path.is_file():
                return {"input": str(path), "output": str(target), "skipped": True}
            return enhance_file(path, target, ready, blend, check)
        except InputError as error:
            return {"input": str(path), "error": str(error)}
        except OSError as error:
            return {"input": str(path), "error": f"{error.filename or path}: {error.strerror}"}

    with ThreadPoolExecutor(workers or (cores if ready.shareable else 1)) as pool:
        coming = [pool.submit(one, path) for path in places]
        try:
            for done in as_completed(coming):
                yield done.result()
        finally:
            # After Ctrl-C, or when the caller stops early: files under way leave nothing half written.
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
