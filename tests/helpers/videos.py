"""Recordings as phones make them, written with PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest


def record(
    path: Path,
    codec: str,
    rate: int,
    audio: np.ndarray,
    pictures: int = 0,
    late_s: float = 0.0,
    gap_s: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Write float ``[C,T]`` of one or two channels, with so many grey pictures beside it; skips without PyAV.

    The sound begins ``late_s`` seconds after the first picture. What follows the first of ``gap_s`` seconds of it comes
    later by the second.
    """
    av = pytest.importorskip("av", reason="needs sordino[media]")
    layout = ("mono", "stereo")[len(audio) - 1]
    with av.open(str(path), "w") as container:
        film = container.add_stream("mpeg4", rate=5, width=64, height=48, pix_fmt="yuv420p") if pictures else None
        sound = container.add_stream(codec, rate=rate, layout=layout)
        sound.codec_context.open()  # before the first packet, as its frame size is needed below
        if film is not None:
            for number in range(pictures):
                grey = av.VideoFrame.from_ndarray(np.full((72, 64), 128, np.uint8), "yuv420p")
                grey.pts = number
                container.mux(film.encode(grey))
            container.mux(film.encode(None))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio, np.float32), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, round(late_s * rate), Fraction(1, rate)
        resampler = av.AudioResampler(sound.codec_context.format, layout, rate, sound.codec_context.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            if part.pts - round(late_s * rate) >= gap_s[0] * rate:
                part.pts += round(gap_s[1] * rate)
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
