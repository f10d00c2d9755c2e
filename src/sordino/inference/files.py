"""Enhance a sound file into another, block by block: one is read and one written while a third is enhanced."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sordino.audio import sound_files
from sordino.audio.blocks import FORMATS, blocks_of, open_sound
from sordino.audio.doubts import doubts
from sordino.audio.encoding import holdable, subtype_for, tags_of, unclipped_encoder
from sordino.audio.forward import ForwardFile
from sordino.audio.resampling import open_resampler
from sordino.errors import InputError
from sordino.inference.blend import USUAL, Blend
from sordino.inference.model import open_model
from sordino.inference.pipeline import StreamPipeline
from sordino.types import Progress

BLOCK_S = 1.0

Item = TypeVar("Item")
_END = object()


def enhance_file(
    source: str | Path,
    target: str | Path,
    model: Any = None,
    blend: Blend = USUAL,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Enhance one audio file into another of the same channels and, where the format allows, sample type.

    Args:
        source: any file that libsndfile reads, or with ``sordino[media]`` FFmpeg.
        target: its suffix selects the format. If it is an existing folder, or ends with a slash, the file gets the name
            of ``source`` in that folder.
        model: see ``open_model``.
        blend: how much noise to leave, how to treat the high band, and whether to keep the sample rate.
        progress: called with the seconds of input that have been processed, from another thread.

    Returns:
        ``input``, ``output``, ``seconds``, ``sample_rate`` and ``channels`` of the output, ``gain_db``, which is below
        0 if the estimate had to be scaled down to avoid clipping, and ``notes``, parts of a sentence: whether
        ``source`` may have been cut short, and what the format of ``target`` could not keep.

    Raises:
        InputError: ``source`` cannot be read, or ``target`` cannot be written; then nothing is written.
    """
    target = place(Path(source), target)
    replaces = target.exists()
    with ExitStack() as stack:
        # Opened once, as some formats are decoded when they are opened.
        file = stack.enter_context(open_sound(source, ForwardFile))
        about = sound_files.info_of(file)
        same_format = target.suffix.lower() == Path(source).suffix.lower()
        sample_rate, subtype = holdable(target, about.sample_rate, about.subtype if same_format else None)
        process = stack.enter_context(open_model(model).open(about.channels))
        pipeline = StreamPipeline(process, sample_rate, about.channels, blend)
        length, expected = 0, about.length * pipeline.sample_rate // about.sample_rate
        noisy = blocks_of(file, source, round(BLOCK_S * about.sample_rate))
        with (
            unclipped_encoder(target, pipeline.sample_rate, about.channels, subtype, expected, tags_of(file)) as put,
            closing(ahead(_enhanced(noisy, about, sample_rate, pipeline, progress))) as blocks,
        ):
            for block in blocks:
                length += block.shape[1]
                put(block)
    notes = doubts(Path(source))
    if replaces:
        notes.append("in place of the file that was there")
    if sample_rate != about.sample_rate and blend.keep_rate:
        notes.append(f"{target.suffix} has no {about.sample_rate} Hz, so it was written at {sample_rate} Hz")
    if same_format and subtype is None:
        notes.append(f"{target.suffix} cannot hold {about.subtype}, so it was written as {subtype_for(target)}")
    return {
        "input": str(source),
        "output": str(target),
        "seconds": length / pipeline.sample_rate,
        "sample_rate": pipeline.sample_rate,
        "channels": about.channels,
        "gain_db": put.gain_db,
        "notes": notes,
    }


def place(source: Path, target: str | Path) -> Path:
    """Return the file to write for a recording: in a folder under its own name, else ``target``.

    A folder is one that is there, or a name with a slash at its end. What can be read and not written, such as sound of
    a phone, becomes WAV.

    Raises:
        InputError: that is the recording itself.
    """
    is_folder = str(target).endswith(("/", os.sep))
    target = Path(target)
    if target.is_dir() or is_folder:
        target = target / writable_name(source.name)
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(target, "is the recording itself, which would be lost", hint="choose another output")
    return target


def writable_name(name: str) -> str:
    """Return the name of a file, with ``.wav`` added where its format cannot be written."""
    return name if Path(name).suffix.lower() in FORMATS else f"{name}.wav"


def _enhanced(
    noisy: Iterable[np.ndarray],
    about: sound_files.Info,
    sample_rate: int,
    pipeline: StreamPipeline,
    progress: Progress | None,
) -> Iterator[np.ndarray]:
    done, seconds = 0, max(round(about.seconds), 1)
    to_writable = open_resampler(about.sample_rate, sample_rate, about.channels)
    for block in ahead(noisy):
        yield pipeline.feed(to_writable.feed(block))
        done += block.shape[1]
        if progress is not None:
            progress("enhancing, seconds", min(round(done / about.sample_rate), seconds), seconds, {})
    yield pipeline.feed(to_writable.flush())
    yield pipeline.flush()


def ahead(items: Iterable[Item]) -> Generator[Item]:
    """Yield ``items`` while a thread makes the next one already; its errors are raised here."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = worker.submit(next, iterator, _END)
            yield item  # pyright: ignore[reportReturnType]
