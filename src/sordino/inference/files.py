"""Enhance a sound file into another, block by block: one is read and one written while a third is enhanced."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sordino.audio import sound_files
from sordino.audio.blocks import FORMATS, blocks_of, open_sound, origin_of
from sordino.audio.doubts import doubts
from sordino.audio.encoding import holdable, subtype_for, unclipped_encoder
from sordino.audio.forward import ForwardFile
from sordino.audio.resampling import Resampler, open_resampler
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
    replaces, same_format = target.exists(), _same_format(Path(source), target)
    with ExitStack() as stack:
        # Opened once, as some formats are decoded when they are opened.
        file = stack.enter_context(open_sound(source, ForwardFile))
        about, origin = sound_files.info_of(file), origin_of(source)
        process = stack.enter_context(open_model(model).open(about.channels))
        wanted = about.sample_rate if blend.keep_rate else process.sample_rate
        kept = origin.subtype if same_format else None
        sample_rate, subtype = holdable(target, wanted, kept)
        # The model's estimate is at the rate of its input, or at the model's: the one that is kept is made writable.
        input_rate = sample_rate if blend.keep_rate else about.sample_rate
        inward = open_resampler(about.sample_rate, input_rate, about.channels)
        pipeline = StreamPipeline(process, input_rate, about.channels, blend)
        outward = open_resampler(pipeline.sample_rate, sample_rate, about.channels)
        length, expected = 0, about.length * sample_rate // about.sample_rate
        noisy = blocks_of(file, source, round(BLOCK_S * about.sample_rate))
        with (
            unclipped_encoder(target, sample_rate, about.channels, subtype, expected, origin.tags) as put,
            closing(ahead(_enhanced(noisy, about, (inward, outward), pipeline, progress))) as blocks,
        ):
            for block in blocks:
                length += block.shape[1]
                put(block)
    notes = doubts(Path(source)) + ["in place of the file that was there"] * replaces
    notes += _not_kept(target, (wanted, kept), (sample_rate, subtype))
    return {
        "input": str(source),
        "output": str(target),
        "seconds": length / sample_rate,
        "sample_rate": sample_rate,
        "channels": about.channels,
        "gain_db": put.gain_db,
        "notes": notes,
    }


def _not_kept(target: Path, asked: tuple[int, str | None], held: tuple[int, str | None]) -> list[str]:
    """Return what the format of ``target`` could not keep of a rate and an encoding, as parts of a sentence."""
    (wanted, kept), (sample_rate, subtype) = asked, held
    notes = []
    if sample_rate != wanted:
        notes.append(f"{target.suffix} has no {wanted} Hz, so it was written at {sample_rate} Hz")
    if kept is not None and subtype is None:
        notes.append(f"{target.suffix} cannot hold {kept}, so it was written as {subtype_for(target)}")
    return notes


def _same_format(source: Path, target: Path) -> bool:
    """Return whether a file is of the format of another, of which some have several suffixes.

    Raises:
        InputError: ``target`` has an unknown suffix.
    """
    written, read = subtype_for(target), source.suffix.lower()
    # Ogg holds Vorbis by the suffix .ogg and Opus by .opus.
    return read in FORMATS and FORMATS[read] == FORMATS[target.suffix.lower()] and subtype_for(source) == written


def remarks(report: Mapping[str, Any]) -> list[str]:
    """Return what is not as expected in a report of ``enhance_file``, as parts of a sentence: also a lower level."""
    gain_db = report["gain_db"]
    turned = [f"turned down by {-gain_db:.1f} dB to avoid clipping"] if gain_db < 0 else []
    return [*turned, *report["notes"]]


def place(source: Path, target: str | Path) -> Path:
    """Return the file to write for a recording: in a folder under its own name, else ``target``.

    A folder is one that is there, or a name with a slash at its end. What can be read and not written, such as sound of
    a phone, becomes WAV.

    Raises:
        InputError: that is the recording itself, or a folder within the one that was named.
    """
    is_folder = str(target).endswith(("/", os.sep))
    target = Path(target)
    if target.is_dir() or is_folder:
        target = target / writable_name(source.name)
        if target.is_dir():
            raise InputError(target, "is a folder", "the name of a file", "rename it, or choose another output")
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(target, "is the recording itself, which would be lost", hint="choose another output")
    return target


def writable_name(name: str) -> str:
    """Return the name of a file, with ``.wav`` added where its format cannot be written."""
    return name if Path(name).suffix.lower() in FORMATS else f"{name}.wav"


def _enhanced(
    noisy: Iterable[np.ndarray],
    about: sound_files.Info,
    resamplers: tuple[Resampler, Resampler],
    pipeline: StreamPipeline,
    progress: Progress | None,
) -> Iterator[np.ndarray]:
    """Yield the blocks to write; ``resamplers`` are those before and behind the pipeline."""
    done, seconds, (inward, outward) = 0, max(round(about.seconds), 1), resamplers
    for block in ahead(noisy):
        yield outward.feed(pipeline.feed(inward.feed(block)))
        done += block.shape[1]
        if progress is not None:
            progress("enhancing, seconds", min(round(done / about.sample_rate), seconds), seconds, {})
    yield outward.feed(pipeline.feed(inward.flush()))
    yield outward.feed(pipeline.flush())
    yield outward.flush()


def ahead(items: Iterable[Item]) -> Generator[Item]:
    """Yield ``items`` while a thread makes the next one already; its errors are raised here."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = worker.submit(next, iterator, _END)
            yield item  # pyright: ignore[reportReturnType]
