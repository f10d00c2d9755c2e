"""Round trips through lossy codecs, in memory: what remains of a sound that was sent or stored with few bits."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import numpy as np
import soundfile

Codec = Literal["opus", "vorbis", "mp3"]

_FORMATS: dict[Codec, tuple[str, str]] = {
    "opus": ("OGG", "OPUS"),
    "vorbis": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}

_PEAK = 0.5  # encoders drop what lies below the threshold of hearing, so a quiet sound is encoded at a usual level

OPUS_RATES = (8000, 12000, 16000, 24000, 48000)


def codecs_at(sample_rate: int) -> tuple[Codec, ...]:
    """List the codecs that take sound at ``sample_rate`` Hz as it is."""
    if sample_rate in OPUS_RATES:
        return ("opus", "vorbis", "mp3")
    return ("vorbis", "mp3") if sample_rate in (11025, 22050, 32000, 44100) else ("vorbis",)


def round_trip(audio: np.ndarray, codec: Codec, squeeze: float, sample_rate: int) -> np.ndarray:
    """Encode and decode a sound.

    libsndfile takes the delay of encoder and decoder off again, so the result lies in time where the input did.

    Args:
        audio: float ``[T]``.
        codec: one of :func:`codecs_at`.
        squeeze: 0 (most bits) to 1 (fewest); libsndfile's compression level.
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
    soundfile.write(coded, audio * gain, sample_rate, subtype, format=form, compression_level=squeeze)
    coded.seek(0)
    decoded, _ = soundfile.read(coded, dtype="float32")
    decoded = decoded[: len(audio)] / np.float32(gain)
    return np.concatenate([decoded, np.zeros(len(audio) - len(decoded), dtype=np.float32)])
