"""Change the tempo of speech and keep its pitch: WSOLA, in numpy.

Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality time-scale
modification of speech", ICASSP 1993. WSOLA and not a phase vocoder, because it moves pieces of the waveform and
alters none: formants, bursts and the phase relations within a pitch period stay what they were, which is what a
clean training target has to keep. Deterministic.
"""

from __future__ import annotations

import numpy as np

HALF_S = 0.016
"""Half a frame: frames of 32 ms overlap by this much."""

SEARCH_S = 0.008
"""A frame may be taken this much earlier or later than its due place: together a pitch period of 62 Hz."""


def stretch(audio: np.ndarray, factor: float, sample_rate: int = 16000) -> np.ndarray:
    """Play ``audio`` faster (``factor`` > 1) or slower (< 1) at the same pitch.

    Args:
        audio: float ``[T]``.
        factor: tempo, between 0.5 and 2 for speech that still sounds natural.
        sample_rate: Hz.

    Returns:
        float32 ``[round(T / factor)]``; the samples themselves where ``factor`` is 1.
    """
    if factor <= 0:
        raise ValueError(f"a tempo of {factor} is not above 0")
    audio = np.asarray(audio, dtype=np.float32)
    if factor == 1 or audio.size == 0:
        return audio.copy()
    length = max(1, round(len(audio) / factor))
    half, search = round(HALF_S * sample_rate), round(SEARCH_S * sample_rate)
    steps = -(-length // half) + 1
    due = np.round(np.arange(steps) * half * factor).astype(np.int64)
    # Half a frame of silence in front lets the first frame's rise pass before the output starts; behind, enough
    # silence for the last search.
    room = int(due[-1]) + 3 * half + 2 * search
    padded = np.zeros(max(room, len(audio) + half + search), dtype=np.float32)
    padded[half + search : half + search + len(audio)] = audio
    starts = _similar_starts(padded, due, half, search)
    frames = padded[starts[:, None] + np.arange(2 * half)]
    frames *= np.hanning(2 * half + 1)[:-1].astype(np.float32)
    joined = np.zeros((steps + 1, half), dtype=np.float32)
    joined[:-1] += frames[:, :half]
    joined[1:] += frames[:, half:]
    return joined.ravel()[half : half + length]


def _similar_starts(padded: np.ndarray, due: np.ndarray, half: int, search: int) -> np.ndarray:
    """Place every frame where its first half is most like what would follow the frame before it."""
    starts = np.empty(len(due), dtype=np.int64)
    starts[0] = search
    for step in range(1, len(due)):
        follows = starts[step - 1] + half
        template = padded[follows : follows + half]
        region = padded[due[step] : due[step] + half + 2 * search]
        likeness = np.correlate(region, template, mode="valid")
        # Equal likeness everywhere means silence: stay at the due place.
        starts[step] = due[step] + (int(likeness.argmax()) if likeness.any() else search)
    return starts
