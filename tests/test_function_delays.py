"""Functions as teachers: their delay is measured once and taken off, and some cannot be compensated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.corpora import RATE
from helpers.networks import batch_of
from helpers.recipes import built
from sordino.errors import InputError
from sordino.experiments.teacher import notes
from sordino.inference.enhance import enhance
from sordino.inference.model import open_model


def late(noisy: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(100, np.float32), noisy])[: len(noisy)]


def early(noisy: np.ndarray) -> np.ndarray:
    return noisy[50:]


def drifting(noisy: np.ndarray) -> np.ndarray:
    return np.concatenate([noisy[:12000], np.zeros(700, np.float32), noisy[12000:]])[: len(noisy)]


def upside_down(noisy: np.ndarray) -> np.ndarray:
    return -noisy


def faint(noisy: np.ndarray) -> np.ndarray:
    return 0.1 * noisy


def broken(noisy: np.ndarray) -> np.ndarray:
    return noisy * np.nan


@pytest.mark.parametrize(("name", "delay"), [("late", 100), ("early", -50)])
def test_the_delay_of_a_function_is_measured_and_taken_off(name: str, delay: int) -> None:
    teacher, batch = built({"callable": f"{__name__}:{name}"}), batch_of()
    torch.testing.assert_close(teacher(batch).wave, batch.noisy, atol=1e-6, rtol=0)
    line = f"{__name__}:{name}: a function at 16000 Hz; delay {delay} samples, gain +0.0 dB on speech"
    assert notes(teacher) == [line]
    fast = built({"callable": f"{__name__}:{name}", "sample_rate": 48000})
    assert f"at 48000 Hz; delay {delay} samples" in notes(fast)[0]
    # One that is scored is the one that teaches.
    np.testing.assert_allclose(enhance(batch.noisy[0].numpy(), RATE, f"{__name__}:{name}"), batch.noisy[0], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("drifting", r"its estimate lags by 0 to 700 samples; expected a constant delay"),
        ("upside_down", r"its estimate has inverted polarity"),
        ("faint", r"changes the level of clean speech by -20\.0 dB"),
        ("broken", r"gives NaN or infinite samples for clean speech"),
    ],
)
def test_a_function_that_cannot_be_compensated_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"test_function_delays:{name}: {message}"):
        built({"callable": f"{__name__}:{name}"})


def test_a_function_is_measured_once_on_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    monkeypatch.setitem(globals(), "counted", lambda noisy: (lengths.append(len(noisy)), noisy)[1])
    for _ in range(3):
        open_model(f"{__name__}:counted")
    assert lengths == [2 * RATE]
    monkeypatch.setitem(globals(), "counted", upside_down)
    with pytest.raises(InputError, match="inverted polarity"):  # another function of the same name
        open_model(f"{__name__}:counted")
