"""Functions as teachers: their delay is measured once and taken off, and some cannot be compensated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.corpora import RATE
from helpers.networks import batch_of
from helpers.recipes import built
from sordino.errors import InputError
from sordino.experiments.teacher_remarks import notes
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


def failing(noisy: np.ndarray) -> np.ndarray:
    raise LookupError(f"no such luck\nwith {len(noisy)} samples")


def wordless(noisy: np.ndarray) -> np.ndarray:
    raise LookupError


def of_torch(noisy: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(noisy).requires_grad_()


class Network(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()


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
        ("failing", r"raised LookupError \(line 43 of test_function_delays\): no such luck$"),
        ("wordless", r"raised LookupError \(line 47 of test_function_delays\)$"),
        ("of_torch", r"raised RuntimeError: Can't call numpy\(\) on Tensor that requires grad"),
        (
            "Network",
            r"is a class; expected a function from noisy \[T\] to estimate \[T\], or a checkpoint of the network",
        ),
    ],
)
def test_a_function_that_cannot_be_compensated_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"test_function_delays:{name}: {message}"):
        built({"callable": f"{__name__}:{name}"})


def test_what_a_function_raises_later_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long recording may fail where the two seconds of the probe do not."""
    monkeypatch.setitem(globals(), "short", lambda noisy: noisy if len(noisy) == 2 * RATE else failing(noisy))
    with pytest.raises(InputError, match="test_function_delays:short: raised LookupError") as raised:
        enhance(np.zeros(3 * RATE, np.float32), RATE, f"{__name__}:short")
    assert isinstance(raised.value.__cause__, LookupError)


def test_a_class_is_no_model() -> None:
    with pytest.raises(InputError, match="model: Network is a class; expected an object of it"):
        open_model(Network)


def test_a_function_is_measured_once_on_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    monkeypatch.setitem(globals(), "counted", lambda noisy: (lengths.append(len(noisy)), noisy)[1])
    for _ in range(3):
        open_model(f"{__name__}:counted")
    assert lengths == [2 * RATE]
    monkeypatch.setitem(globals(), "counted", upside_down)
    with pytest.raises(InputError, match="inverted polarity"):  # another function of the same name
        open_model(f"{__name__}:counted")
