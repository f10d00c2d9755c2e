"""A sound file enhanced into another, block by block: one is read and one written while a third is enhanced."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sordino.audio import sound_files
from sordino.audio.blocks import read_blocks
from sordino.audio.encoding import unclipped_encoder
from sordino.inference.model import open_model
from sordino.inference.pipeline import HighBand, StreamPipeline, check_blend

BLOCK_S = 1.0

Item = TypeVar("Item")
_END = object()


def enhance_file(
    source: str | Path,
    target: str | Path,
    model: Any = None,
    *,
    strength_db: float | None = None,
    high_band: HighBand = "drop",
    keep_rate: bool = True,
    progress: Callable[[float, float], object] | None = None,
) -> dict[str, Any]:
    """Enhance one audio file into another of the same channels and, where the format allows, sample type.

    Args:
        source: any file that libsndfile reads.
        target: its suffix chooses the format.
        model: see ``open_model``.
        strength_db: see ``sordino.enhance``, and so for ``high_band``.
        high_band: nothing to keep without ``keep_rate``.
        keep_rate: write at the rate of ``source``; otherwise at the model's.
        progress: told the seconds that are enhanced and those there are, from another thread.

    Returns:
        ``input``, ``output``, ``seconds``, ``sample_rate`` and ``channels`` of what was written, and ``gain_db``,
        which is below 0 if the estimate had to be turned down to avoid clipping.

    Raises:
        InputError: no sound to read, no place to write, or options that contradict each other; nothing is written.
    """
    check_blend(strength_db, high_band, keep_rate)
    about = sound_files.info(source)
    options = {"strength_db": strength_db, "high_band": high_band, "keep_rate": keep_rate}
    subtype = about.subtype if Path(target).suffix.lower() == Path(source).suffix.lower() else None
    with open_model(model).open(about.channels) as process:
        passage = StreamPipeline(process, about.sample_rate, about.channels, **options)
        length, expected = 0, about.length * passage.sample_rate // about.sample_rate
        with (
            unclipped_encoder(target, passage.sample_rate, about.channels, subtype, expected) as put,
            closing(ahead(_enhanced(source, about, passage, progress))) as blocks,
        ):
            for block in blocks:
                length += block.shape[1]
                put(block)
    return {
        "input": str(source),
        "output": str(target),
        "seconds": length / passage.sample_rate,
        "sample_rate": passage.sample_rate,
        "channels": about.channels,
        "gain_db": put.gain_db,
    }


def _enhanced(
    source: str | Path,
    about: sound_files.Info,
    passage: StreamPipeline,
    progress: Callable[[float, float], object] | None,
) -> Iterator[np.ndarray]:
    done_s = 0.0
    for block in ahead(read_blocks(source, round(BLOCK_S * about.sample_rate))):
        yield passage.feed(block)
        done_s += block.shape[1] / about.sample_rate
        if progress is not None:
            progress(done_s, about.seconds)
    yield passage.flush()


def ahead(items: Iterable[Item]) -> Generator[Item]:
    """Hand ``items`` on while the next one is already being made in a thread; its errors come out here."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = worker.submit(next, iterator, _END)
            yield item  # pyright: ignore[reportReturnType]
