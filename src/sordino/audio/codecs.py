"""Encode and decode a signal with a lossy codec, in memory, as if it had been sent or stored with few bits."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import numpy as np
import soundfile

from sordino.audio.encoding import RATES

Codec = Literal["opus", "vorbis", "mp3"]

_FORMATS: dict[Codec, tuple[str, str]] = {
    "opus": ("OGG", "OPUS"),
    "vorbis": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}

# Encoders drop what lies below the threshold of hearing, so every signal is encoded at a usual level.
_PEAK = 0.5


def codecs_at(sample_rate: int) -> tuple[Codec, ...]:
    """List the codecs that encode ``sample_rate`` Hz without resampling, in the order from which they are drawn."""
    return tuple(
        codec for codec, (_, encoding) in _FORMATS.items() if sample_rate in RATES.get(encoding, (sample_rate,))
    )


def round_trip(audio: np.ndarray, codec: Codec, compression: float, sample_rate: int) -> np.ndarray:
    """Encode a signal and decode it again.

    libsndfile removes the delay of encoder and decoder, so the result is aligned in time with the input.

    Args:
        audio: float ``[T]``.
        codec: one of :func:`codecs_at`.
        compression: 0 (most bits) to 1 (fewest); libsndfile's compression level.
        sample_rate: Hz.

    Returns:
        float32 ``[T]``.
    """
    loudest = float(np.abs(audio).max(initial=0.0))
    if loudest == 0:
        return np.zeros(len(audio), dtype=np.float32)
    gain = _PEAK / loudest
    coded = BytesIO()
    form, subtype = _FORMATS[codec]
    soundfile.write(coded, audio * gain, sample_rate, subtype, format=form, compression_level=compression)
    coded.seek(0)
    decoded, _ = soundfile.read(coded, dtype="float32")
    # The decoded length may differ from the encoded one by some samples.
    decoded = decoded[: len(audio)] / np.float32(gain)
    return np.concatenate([decoded, np.zeros(len(audio) - len(decoded), dtype=np.float32)])
