"""Engines of the user's: what they return is checked, and a stream whose engine failed does not go on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import sordino
from helpers.corpora import RATE
from helpers.noise import white
from helpers.streams import Identity, streamed
from sordino.errors import InputError
from sordino.inference.mean import MeanEngine
from sordino.inference.streamer import Streamer


class Returning(Identity):
    """An engine that returns what a function makes of the estimate."""

    def __init__(self, change: Callable[[np.ndarray], Any]) -> None:
        super().__init__(delay=0)
        self.change = change

    def step(self, block: np.ndarray, state: np.ndarray) -> tuple[Any, np.ndarray]:
        estimate, state = super().step(block, state)
        return self.change(estimate), state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda estimate: estimate[:, 1:], r"shape \(1, 159\) for a block of \(1, 160\); expected as many"),
        (lambda estimate: estimate[0], r"shape \(160,\) for a block"),
        (lambda estimate: (estimate * 32767).astype(np.int16), "gave values of type int16; expected samples, floating"),
        (lambda estimate: None, "gave values of type object"),
    ],
)
def test_an_engine_that_gives_another_shape_or_type_is_refused(change: Callable[..., Any], message: str) -> None:
    engine = Returning(change)
    mean = MeanEngine("mean", [Identity(), engine])
    with pytest.raises(InputError, match=f"identity: .*{message}"):
        Streamer(engine)
    with pytest.raises(InputError, match=f"identity: .*{message}"):
        sordino.enhance(white(160), RATE, engine)
    with pytest.raises(InputError, match=f"identity: .*{message}"):
        mean.step(white(1, 160), mean.start(1))


def test_an_engine_may_give_a_tensor() -> None:
    noisy = white(1000, level=0.2)
    estimate = streamed(Streamer(Returning(torch.from_numpy)), noisy, [slice(0, 300), slice(300, 1000)])
    assert np.array_equal(estimate, noisy)


def test_a_stream_whose_model_failed_is_over_until_reset() -> None:
    """The noisy samples of the block are queued and its estimate is lost: what follows would be out of step."""
    calls = iter(range(100))
    engine = Returning(lambda estimate: estimate * (np.nan if next(calls) == 5 else 1))
    noisy = white(1600, level=0.2)
    streamer = Streamer(engine, strength_db=6)  # two calls to warm up
    for _ in range(3):
        streamer.feed(noisy[:160])
    with pytest.raises(InputError, match=r"gives NaN or infinite samples at 0\.03 s"):
        streamer.feed(noisy[:160])
    for proceed in (partial(streamer.feed, noisy[:160]), streamer.flush):
        with pytest.raises(InputError, match=r"the model failed before; call reset\(\)"):
            proceed()
    streamer.reset()
    np.testing.assert_allclose(streamed(streamer, noisy, [slice(0, 1600)]), noisy, atol=1e-6)
