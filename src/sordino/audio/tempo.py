"""Change the tempo of speech without changing its pitch, by WSOLA.

Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality time-scale
modification of speech", ICASSP 1993. WSOLA is used instead of a phase vocoder because it moves pieces of the waveform
without altering them: formants, bursts and the phase relations within a pitch period are preserved, as a clean training
target requires. Deterministic.
"""

from __future__ import annotations

import numpy as np

HALF_S = 0.016
"""Half the length of a frame in seconds: frames of 32 ms overlap by half."""

SEARCH_S = 0.008
"""A frame may start this much earlier or later than its nominal place: 16 ms in all, a pitch period of 62 Hz."""


def stretch(audio: np.ndarray, factor: float, sample_rate: int = 16000) -> np.ndarray:
    """Play ``audio`` faster (``factor`` > 1) or slower (< 1) at the same pitch.

    Args:
        audio: float ``[T]``.
        factor: tempo; between 0.5 and 2 speech still sounds natural.
        sample_rate: Hz.

    Returns:
        float32 ``[round(T / factor)]``; a copy of the input if ``factor`` is 1.
    """
    if factor <= 0:
        raise ValueError(f"a tempo of {factor} is not above 0")
    audio = np.asarray(audio, dtype=np.float32)
    if factor == 1 or audio.size == 0:
        return audio.copy()
    length = max(1, round(len(audio) / factor))
    half, search = round(HALF_S * sample_rate), round(SEARCH_S * sample_rate)
    steps = -(-length // half) + 1
    nominal = np.round(np.arange(steps) * half * factor).astype(np.int64)
    # Half a frame of silence is added in front, so that the fade-in of the first frame ends before the output starts;
    # and enough silence behind for the last search.
    needed = int(nominal[-1]) + 3 * half + 2 * search
    padded = np.zeros(max(needed, len(audio) + half + search), dtype=np.float32)
    padded[half + search : half + search + len(audio)] = audio
    starts = _similar_starts(padded, nominal, half, search)
    frames = padded[starts[:, None] + np.arange(2 * half)]
    frames *= np.hanning(2 * half + 1)[:-1].astype(np.float32)
    # Row k of the output is the first half of frame k plus the second half of frame k - 1.
    joined = np.zeros((steps + 1, half), dtype=np.float32)
    joined[:-1] += frames[:, :half]
    joined[1:] += frames[:, half:]
    return joined.ravel()[half : half + length]


def _similar_starts(padded: np.ndarray, nominal: np.ndarray, half: int, search: int) -> np.ndarray:
    """Return the start of every frame [K]: near its nominal place, where it best continues the frame before it.

    The best place is that where the correlation of the frame's first half with the natural continuation of the frame
    before is largest.
    """
    starts = np.empty(len(nominal), dtype=np.int64)
    starts[0] = search
    for step in range(1, len(nominal)):
        continuation = starts[step - 1] + half
        template = padded[continuation : continuation + half]
        region = padded[nominal[step] : nominal[step] + half + 2 * search]
        similarity = np.correlate(region, template, mode="valid")
        # All zero means silence: keep the nominal place.
        shift = int(similarity.argmax()) if similarity.any() else search
        starts[step] = nominal[step] + shift
    return starts
