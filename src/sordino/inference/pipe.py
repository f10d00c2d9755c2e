"""A stream between two binary files, such as standard input and output: ``sordino enhance --stream``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, BinaryIO

from sordino.audio.pcm import BITS
from sordino.audio.pipe import Reader, Writer
from sordino.errors import InputError
from sordino.inference.streamer import Streamer

LONGEST_BLOCK_S = 60.0
"""Seconds of a block, also of a live stream."""


def enhance_stream(
    source: BinaryIO,
    target: BinaryIO,
    model: Any = None,
    sample_rate: int | None = None,
    channels: int | None = None,
    encoding: str | None = None,
    block_s: float = 0.02,
    **options: Any,
) -> dict[str, Any]:
    """Enhance one binary file into another while it arrives; Ctrl-C ends the stream like the end of the input.

    Args:
        source: WAV, or raw samples if ``sample_rate``, ``channels`` or ``encoding`` is given.
        target: written like ``source``, WAV or raw, unless ``encoding`` says otherwise.
        model: see ``Streamer``.
        sample_rate: Hz of raw samples, 16000 when left out; a WAV header states its own.
        channels: number of channels of raw samples, 1 when left out.
        encoding: ``s16le``, ``s24le``, ``s32le`` or ``f32le``: raw samples of this type for input and output (but a WAV
            header on the input is recognised); ``wav``: WAV output.
        block_s: length of the blocks that are read.
        options: of ``Streamer``: ``low_delay``, ``threads``, ``strength_db``, ``high_band``.

    Returns:
        ``seconds``, ``sample_rate``, ``channels``, ``latency_s``, ``block_s``, ``clipped`` (samples that were beyond
        full scale) and ``timing``.

    Raises:
        InputError: input of another format; input that was cut short or holds NaN (everything before is written); a
            model that cannot stream; or an output that cannot be written.
        BrokenPipeError: the reader of the output has gone.
    """
    if not 0 < block_s <= LONGEST_BLOCK_S:
        raise InputError("block length", f"{block_s * 1000:g} ms", f"more than 0, and at most {LONGEST_BLOCK_S:g} s")
    if encoding not in (None, "wav", *BITS):
        raise InputError("encoding", repr(encoding), f"one of {', '.join(BITS)}, wav")
    raw = None if encoding == "wav" else encoding
    reader = Reader(source, sample_rate, channels, raw)
    streamer = Streamer(model, reader.sample_rate, reader.channels, **options)
    is_wav = encoding == "wav" or (encoding is None and reader.is_wav)
    length, frames = max(round(block_s * reader.sample_rate), 1), 0
    with Writer(target, reader.sample_rate, reader.channels, raw or reader.encoding, is_wav) as writer:
        try:
            for block in reader.blocks(length):
                frames += block.shape[1]
                writer.write(streamer.feed(block))
            writer.write(streamer.flush())
            reader.check_end()
        except KeyboardInterrupt:  # the usual end of a live stream
            with _passes_end():
                writer.write(streamer.flush())
    return {
        "seconds": frames / reader.sample_rate,
        "sample_rate": reader.sample_rate,
        "channels": reader.channels,
        "latency_s": streamer.latency_s,
        "block_s": length / reader.sample_rate,
        "clipped": writer.clipped,
        "timing": asdict(streamer.timing) if streamer.timing else None,
    }


@contextmanager
def _passes_end() -> Iterator[None]:
    """Context manager in which Ctrl-C waits for the end of a pass through a graph.

    The first Ctrl-C, which is handled already, may still be on its way to the thread that ends passes. It leaves them
    alone where somebody else handles the signal, as only the main thread can arrange.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
