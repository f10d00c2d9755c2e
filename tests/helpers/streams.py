"""Engines that stream without a trained network, and streams in blocks of any length."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from helpers.corpora import RATE
from sordino.inference.streamer import Streamer
from sordino.models.base import State, StreamingEnhancer


class Smoother(StreamingEnhancer):
    """y[t] = a x[t] + b x[t - 1] + c x[t - 2], ``delay`` samples late in whole hops of 24."""

    hop, delay = 24, 37

    def __init__(self, taps: tuple[float, float, float] = (0.5, -0.3, 0.2)) -> None:
        super().__init__()
        self.name, self.arguments = "smoother", {}
        self.kernel = torch.nn.Parameter(torch.tensor(taps).flip(0).reshape(1, 1, 3))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, noisy: Tensor) -> Tensor:
        return torch.nn.functional.conv1d(torch.nn.functional.pad(noisy, (2, 0)).unsqueeze(1), self.kernel).squeeze(1)

    def initial_state(self, batch: int = 1) -> State:
        return (torch.zeros(batch, 2 + self.delay),)

    def step(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        assert block.shape[-1] % self.hop == 0
        assert torch.is_inference_mode_enabled()
        self.seen.append(tuple(block.shape))
        extended = torch.cat([state[0], block], dim=-1)
        delayed = extended[:, : 2 + block.shape[-1]].unsqueeze(1)
        estimate = torch.nn.functional.conv1d(delayed, self.kernel).squeeze(1)
        return estimate, (extended[:, block.shape[-1] :],)


class Identity:
    """An engine without any network: what went in, ``delay`` samples late."""

    name, sample_rate = "identity", RATE

    def __init__(self, hop: int = 160, delay: int = 160) -> None:
        self.hop, self.delay = hop, delay

    def start(self, channels: int) -> np.ndarray:
        return np.zeros((channels, self.delay), np.float32)

    def step(self, block: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        extended = np.concatenate([state, block], axis=1)
        return extended[:, : block.shape[1]], extended[:, block.shape[1] :]


def partition(length: int, seed: int, longest: int) -> list[slice]:
    """Cut points drawn at random, empty blocks and single samples among them."""
    rng = np.random.default_rng(seed)
    cuts = [0]
    while cuts[-1] < length:
        step = rng.choice([0, 1, rng.integers(longest), rng.integers(10 * longest)], p=[0.1, 0.1, 0.7, 0.1])
        cuts.append(min(cuts[-1] + int(step), length))
    return [slice(start, stop) for start, stop in pairwise(cuts)]


def streamed(streamer: Streamer, noisy: np.ndarray, blocks: list[slice]) -> np.ndarray:
    parts = [streamer.feed(noisy[..., block]) for block in blocks]
    return np.concatenate([*parts, streamer.flush()], axis=-1)
