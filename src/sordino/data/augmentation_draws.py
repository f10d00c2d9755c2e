"""Draw random filters, rumble, hum, short sounds, rooms and bands for the augmentation.

Each function draws all its random numbers from the given generator and passes them to a pure function of ``audio``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sordino.audio.disturbances import fade, hum, loudest_part, place_copies, rumble, rumble_samples
from sordino.audio.filters import (
    RANDOM_MAX,
    high_pass,
    high_shelf,
    low_pass,
    low_shelf,
    peak,
    random_section,
    steep_low_pass,
    telephone,
    tilt,
)
from sordino.audio.rooms import Shoebox, synthetic_response

DrawNoise = Callable[[np.random.Generator, int], np.ndarray]
"""Function (generator, T) that draws another noise, float32 [T]."""


def draw_shape(rng: np.random.Generator, most_db: float, sample_rate: int) -> np.ndarray:
    """Draw a chain of filters like those of microphones, rooms and recorders: sections ``[K,6]``.

    It always has Valin's random section; a tilt, shelves, peaks, a high-pass and a low-pass are added at random.
    """
    top = 0.45 * sample_rate

    def hertz(lowest: float, highest: float) -> float:
        return min(_log_uniform(rng, lowest, highest), top)

    def gain() -> float:
        return rng.uniform(-most_db, most_db)

    chain = [random_section(rng.uniform(-RANDOM_MAX, RANDOM_MAX, 4).tolist())]
    if rng.random() < 0.4:
        chain.append(tilt(gain() / 4, sample_rate))
    if rng.random() < 0.3:
        chain.append(low_shelf(hertz(80, 500), gain(), sample_rate))
    if rng.random() < 0.3:
        chain.append(high_shelf(hertz(1500, 6000), gain(), sample_rate))
    for _ in range(int(rng.integers(3))):
        chain.append(peak(hertz(100, 6000), gain(), sample_rate, rng.uniform(0.5, 3)))
    if rng.random() < 0.25:
        chain.append(high_pass(hertz(30, 250), sample_rate))
    if rng.random() < 0.15:
        chain.append(low_pass(hertz(2500, 7000), sample_rate))
    return np.concatenate(chain)


def draw_rumble(rng: np.random.Generator, length: int, sample_rate: int, limits_hz: tuple[float, float]) -> np.ndarray:
    """Draw noise below a limit from ``limits_hz``, whose level varies by up to 8 dB up and down: float32 ``[T]``."""
    band_hz = rng.uniform(2, 10), _log_uniform(rng, *limits_hz)
    # Two levels per second, and one at either end.
    swell_db = rng.uniform(0, 8) * rng.uniform(-1, 1, 2 + math.ceil(2 * length / sample_rate))
    white = rng.standard_normal(rumble_samples(length, sample_rate))
    return rumble(white, swell_db, band_hz, sample_rate)[:length]


def draw_hum(rng: np.random.Generator, length: int, sample_rate: int) -> np.ndarray:
    """Draw mains hum of 50 or 60 Hz with 1 to 10 harmonics that decrease with frequency: float32 ``[T]``."""
    mains_hz, count = int(rng.choice((50, 60))), int(rng.integers(1, 11))
    amplitudes = rng.uniform(0.2, 1, count) / np.arange(1, count + 1) ** rng.uniform(0.5, 2)
    return hum(mains_hz, amplitudes.tolist(), rng.uniform(0, 2 * math.pi, count).tolist(), length, sample_rate)


def draw_bursts(rng: np.random.Generator, draw_noise: DrawNoise, length: int, sample_rate: int) -> np.ndarray:
    """Draw a short sound, the loudest 50 to 500 ms of another noise, placed one to five times: float32 ``[T]``."""
    seconds = _log_uniform(rng, 0.05, 0.5)
    source = draw_noise(rng, min(length, sample_rate))
    sound = fade(loudest_part(source, round(seconds * sample_rate)), sample_rate)
    starts = rng.integers(length, size=int(rng.integers(1, 6)))
    return place_copies(sound, starts.tolist(), length)


def draw_room(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Draw the impulse response of a room of 3 to 10 m with a talker 0.3 to 2.5 m from the microphone: ``[R]``."""
    size = rng.uniform((3, 3, 2.4), (10, 8, 4))
    talker = rng.uniform(0.5, size - 0.5)
    away = rng.standard_normal(3)
    microphone = np.clip(talker + rng.uniform(0.3, 2.5) * away / np.linalg.norm(away), 0.2, size - 0.2)
    decay_s = rng.uniform(0.15, 0.8)
    white = rng.standard_normal(math.ceil(decay_s * sample_rate))
    return synthetic_response(Shoebox(size, talker, microphone, decay_s), white, sample_rate)


def draw_band(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Draw a filter that narrows the band: to a telephone's, about 300 to 3400 Hz, or to below 3 to 7.5 kHz; [K,6]."""
    top = 0.45 * sample_rate
    if rng.random() < 0.5:
        return telephone(rng.uniform(200, 400), min(rng.uniform(3000, 3800), top), sample_rate)
    return steep_low_pass(min(rng.uniform(3000, 7500), top), sample_rate)


def _log_uniform(rng: np.random.Generator, lowest: float, highest: float) -> float:
    """Draw a number whose logarithm is uniform between those of the two limits."""
    return math.exp(rng.uniform(math.log(lowest), math.log(highest)))
