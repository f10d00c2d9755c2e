"""Reverberation: synthetic impulse responses of rooms, and speech convolved with a response.

A synthetic response has the direct path, the early reflections of a shoebox room by the image-source method (J. Allen
and D. Berkley, "Image method for efficiently simulating small-room acoustics", JASA 65, 1979), and after them a tail of
decaying noise (J. Moorer, "About this reverberation business", 1979), which is much cheaper than images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

SOUND_M_S = 343.0
"""Speed of sound in metres per second."""

EARLY_S = 0.05
"""End of the early reflections in seconds: up to here they make speech clearer, later ones blur it (C50; ISO 3382)."""

Part = Literal["dry", "early", "wet"]
"""Part of the room that the reference keeps: the direct path alone, the first 50 ms, or all of it."""

ORDER = 3
"""Images of the source are computed up to this many rooms away along each axis."""


@dataclass(frozen=True)
class Shoebox:
    """A rectangular room with a talker and a microphone in it.

    Args:
        size_m: length, width and height in metres, ``[3]``.
        talker_m: position of the talker in metres, ``[3]``.
        microphone_m: position of the microphone in metres, ``[3]``.
        decay_s: reverberation time RT60 in seconds, in which the sound decays by 60 dB.
    """

    size_m: np.ndarray
    talker_m: np.ndarray
    microphone_m: np.ndarray
    decay_s: float

    @property
    def reflection(self) -> float:
        """Reflection coefficient of the walls for pressure, by Sabine's formula from size and decay."""
        length, width, height = self.size_m
        surface = 2 * (length * width + length * height + width * height)
        absorbed = 0.161 * length * width * height / (surface * self.decay_s)
        return math.sqrt(max(1 - absorbed, 0.01))


def synthetic_response(room: Shoebox, white: np.ndarray, sample_rate: int) -> np.ndarray:
    """Make the impulse response of a room.

    Args:
        room: size, positions and decay.
        white: normal random numbers ``[R]`` for the tail; R is also the length of the response.
        sample_rate: Hz.

    Returns:
        float64 ``[R]``; its first sample is the direct path, of height 1.
    """
    delays_s, gains = _images(room)
    samples = np.round((delays_s - delays_s.min()) * sample_rate).astype(np.int64)
    gains = gains / gains[delays_s.argmin()]
    is_early = samples < min(round(EARLY_S * sample_rate), len(white))
    early = np.zeros(len(white))
    np.add.at(early, samples[is_early], gains[is_early])  # adds up where several images fall on one sample
    return early + _tail(room, white, sample_rate, early)


def _images(room: Shoebox) -> tuple[np.ndarray, np.ndarray]:
    """Return the delay in seconds and the gain (reflections over distance) of every image of the talker, [I] each.

    Allen and Berkley: along one axis, the images of a talker at x in a room of length L lie at 2 n L + x, after |2 n|
    reflections, and at 2 n L - x, after |2 n - 1|. All combinations of the three axes are images.
    """
    counts = np.arange(-ORDER, ORDER + 1)
    squares, walls = [], []
    for size, talker, microphone in zip(room.size_m, room.talker_m, room.microphone_m, strict=True):
        images = np.concatenate([2 * counts * size + talker, 2 * counts * size - talker]) - microphone
        squares.append(np.square(images))
        walls.append(np.concatenate([np.abs(2 * counts), np.abs(2 * counts - 1)]))
    distance = np.sqrt(_outer_sum(squares))
    return distance / SOUND_M_S, room.reflection ** _outer_sum(walls) / distance


def _outer_sum(axes: list[np.ndarray]) -> np.ndarray:
    """Return the sums of all combinations of one value of each of three axes, flat."""
    x, y, z = axes
    return (x[:, None, None] + y[:, None] + z).ravel()


def _tail(room: Shoebox, white: np.ndarray, sample_rate: int, early: np.ndarray) -> np.ndarray:
    """Make noise [R] that decays by 60 dB in ``decay_s`` and takes over from the images ``early`` [R]."""
    time = np.arange(len(white)) / sample_rate
    decay = 10 ** (-3 * time / room.decay_s)
    # The noise gets the energy of the images where it takes over, in the second half of the early reflections.
    last = slice(round(EARLY_S / 2 * sample_rate), round(EARLY_S * sample_rate))
    of_images = float(np.square(early[last]).sum())
    of_decay = float(np.square(decay[last]).sum())
    level = math.sqrt(of_images / of_decay) if of_decay > 0 else 0.0
    rise = np.clip(2 * time / EARLY_S - 1, 0, 1)  # no noise in the first half, full noise from EARLY_S on
    return level * decay * rise * white


def direct_first(response: np.ndarray) -> np.ndarray:
    """Cut off what precedes the direct path, so that the response does not delay speech.

    It is the first sample within 6 dB of the strongest: reflections that arrive together may be stronger.
    """
    size = np.abs(response)
    return response[int((size >= size.max() / 2).argmax()) :]


def reverberate(
    speech: np.ndarray, response: np.ndarray, part: Part = "wet", sample_rate: int = 16000
) -> tuple[np.ndarray, np.ndarray]:
    """Convolve speech with the impulse response of a room.

    Args:
        speech: float ``[T]``.
        response: impulse response, float ``[R]``; samples before the direct path are ignored; see ``direct_first``.
        part: part of the room that the reference keeps.
        sample_rate: Hz.

    Returns:
        ``reverberant, reference``, float32 ``[T]`` each: speech with all of the room, at the level of ``speech``, and
        speech with ``part`` of it, at the same gain. The reverberation after the last sample is cut.
    """
    from scipy.signal import fftconvolve  # here, as in sordino.audio.filters

    response = direct_first(response)
    speech = speech.astype(np.float64)
    reverberant = fftconvolve(speech, response)[: len(speech)]
    power = float(np.mean(np.square(reverberant)))
    gain = math.sqrt(float(np.mean(np.square(speech))) / power) if power > 0 else 0.0
    reverberant = (reverberant * gain).astype(np.float32)
    if part == "wet":
        return reverberant, reverberant
    kept = response[: 1 if part == "dry" else round(EARLY_S * sample_rate)]
    return reverberant, (fftconvolve(speech, kept)[: len(speech)] * gain).astype(np.float32)
