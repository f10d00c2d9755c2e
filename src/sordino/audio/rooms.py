"""Speech in rooms: impulse responses, recorded or synthetic, and what a reference keeps of them.

A synthetic response has the direct path, the early reflections of a shoebox room by the image-source method (J. Allen
and D. Berkley, "Image method for efficiently simulating small-room acoustics", JASA 65, 1979), and, where those end, a
tail of decaying noise (J. Moorer, "About this reverberation business", 1979), which costs much less than images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import fftconvolve

SOUND_M_S = 343.0

EARLY_S = 0.05
"""Reflections within 50 ms of the direct path add to speech and do not blur it (C50; ISO 3382)."""

Part = Literal["dry", "early", "wet"]
"""What a reference keeps of a room: the direct path, the first 50 ms with it, or all."""

ORDER = 3
"""Images of the source are counted up to this many walls away along each axis."""


@dataclass(frozen=True)
class Shoebox:
    """A rectangular room with a talker and a microphone in it.

    Args:
        size_m: length, width and height, ``[3]``.
        talker_m: the talker's place in it, ``[3]``.
        microphone_m: the microphone's, ``[3]``.
        decay_s: time in which the sound decays by 60 dB.
    """

    size_m: np.ndarray
    talker_m: np.ndarray
    microphone_m: np.ndarray
    decay_s: float

    @property
    def reflection(self) -> float:
        """Share of the pressure that a wall reflects, by Sabine's formula from size and decay."""
        length, width, height = self.size_m
        surface = 2 * (length * width + length * height + width * height)
        absorbed = 0.161 * length * width * height / (surface * self.decay_s)
        return math.sqrt(max(1 - absorbed, 0.01))


def synthetic_response(room: Shoebox, white: np.ndarray, sample_rate: int) -> np.ndarray:
    """Make the impulse response of a room.

    Args:
        room: its measures.
        white: normal random numbers ``[R]`` for the tail; as many samples as the response is to be long.
        sample_rate: Hz.

    Returns:
        float64 ``[R]``; its first sample is the direct path, of height 1.
    """
    delays_s, gains = _images(room)
    places = np.round((delays_s - delays_s.min()) * sample_rate).astype(np.int64)
    gains = gains / gains[delays_s.argmin()]
    early = places < min(round(EARLY_S * sample_rate), len(white))
    sounding = np.zeros(len(white))
    np.add.at(sounding, places[early], gains[early])
    return sounding + _tail(room, white, sample_rate, sounding)


def _images(room: Shoebox) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and gain (reflections over distance) of every image of the talker."""
    counts = np.arange(-ORDER, ORDER + 1)
    along = []
    for size, talker, microphone in zip(room.size_m, room.talker_m, room.microphone_m, strict=True):
        images = np.concatenate([2 * counts * size + talker, 2 * counts * size - talker]) - microphone
        walls = np.concatenate([np.abs(2 * counts), np.abs(2 * counts - 1)])
        along.append((np.square(images), walls))
    (x, wx), (y, wy), (z, wz) = along
    distance = np.sqrt(x[:, None, None] + y[:, None] + z).ravel()
    walls = (wx[:, None, None] + wy[:, None] + wz).ravel()
    return distance / SOUND_M_S, room.reflection**walls / distance


def _tail(room: Shoebox, white: np.ndarray, sample_rate: int, sounding: np.ndarray) -> np.ndarray:
    """Noise that decays by 60 dB in ``decay_s`` and takes over from the images at their density and level."""
    time = np.arange(len(white)) / sample_rate
    decay = 10 ** (-3 * time / room.decay_s)
    # A reverberant field has the energy that the images still carry where the noise takes over: its level is theirs.
    last = slice(round(EARLY_S / 2 * sample_rate), round(EARLY_S * sample_rate))
    carried = float(np.square(sounding[last]).sum())
    expected = float(np.square(decay[last]).sum())
    level = math.sqrt(carried / expected) if expected > 0 else 0.0
    rise = np.clip(2 * time / EARLY_S - 1, 0, 1)  # images alone at first, noise alone from EARLY_S on
    return level * decay * rise * white


def direct_first(response: np.ndarray) -> np.ndarray:
    """Cut off what lies before the strongest sample of a response, the direct path: speech is to come no later."""
    return response[int(np.abs(response).argmax()) :]


def reverberate(
    speech: np.ndarray, response: np.ndarray, part: Part = "wet", sample_rate: int = 16000
) -> tuple[np.ndarray, np.ndarray]:
    """Put speech into a room.

    Args:
        speech: float ``[T]``.
        response: the room's impulse response, float ``[R]``; counts from its strongest sample on, the direct path.
        part: what the reference keeps of the room.
        sample_rate: Hz.

    Returns:
        ``reverberant, reference``, float32 ``[T]``: the speech with all of the room, at the level that ``speech`` has,
        and the wanted part of that sum. What rings on after the end is cut.
    """
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
