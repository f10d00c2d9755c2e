"""The band above the model's follows the model's top octave, at the right time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

import sordino
from helpers.noise import white
from sordino.inference.high_band import AHEAD, WINDOW_S

RATE, MODEL_RATE = 48000, 16000
LOW = butter(8, 3500, fs=MODEL_RATE, output="sos")
"""Keeps what lies below the top octave of the model's band, 4 to 8 kHz."""


def high_band(audio: np.ndarray) -> np.ndarray:
    """What lies well above 8 kHz."""
    return sosfiltfilt(butter(8, 9500, "high", fs=RATE, output="sos"), audio)


def kept(model: object, noisy: np.ndarray) -> float:
    """Share of the high band's level that is left behind a model, away from the ends."""
    inner = slice(4800, -4800)
    after, before = (high_band(one)[inner] for one in (sordino.enhance(noisy, RATE, model), noisy))
    return float(np.sqrt(np.square(after).mean() / np.square(before).mean()))


def test_only_the_models_top_octave_decides() -> None:
    noisy = white(RATE)
    assert kept(lambda wave: wave - sosfiltfilt(LOW, wave).astype(np.float32), noisy) > 0.9, (
        "nothing above 4 kHz is taken"
    )
    assert kept(lambda wave: sosfiltfilt(LOW, wave).astype(np.float32), noisy) < 0.1, "nothing above 4 kHz is left"


def crossing_s(opens: bool) -> float:
    """When the high band is half open, in seconds behind the step of a model that opens or closes in the middle."""
    middle, window = 0.5, np.ones(96) / 96  # 2 ms
    levels = np.repeat(np.float32([0, 1] if opens else [1, 0]), MODEL_RATE // 2)
    near, crossings = slice(round((middle - 0.02) * RATE), round((middle + 0.02) * RATE)), []
    for seed in range(8):
        noisy = white(RATE, seed=seed)
        estimate = sordino.enhance(noisy, RATE, lambda wave: wave * levels)
        after, before = (np.convolve(np.abs(high_band(one)), window, "same")[near] for one in (estimate, noisy))
        first = np.flatnonzero((after / before > 0.5) == opens)[0]
        crossings.append(first / RATE - 0.02)
    return float(np.mean(crossings))


def test_the_gain_changes_when_the_models_does() -> None:
    opened, closed = crossing_s(True), crossing_s(False)
    # A window is late by half its length, less what it may look ahead. The root of the energies in it is half open
    # before half of it is: early before an onset, late behind it.
    late = WINDOW_S / 2 - AHEAD / MODEL_RATE
    assert (opened + closed) / 2 == pytest.approx(late, abs=0.0005)
    assert 0 < closed - opened < 0.004
