"""What runs leave behind, compared."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
from safetensors.torch import load_file

from sordino.experiments.run import Progress
from sordino.training import read_log


def timeless(folder: Path) -> list[dict[str, float]]:
    """The records of a run without the seconds that it took."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read_log(folder)]


def same_weights(one: Path, other: Path, name: str = "last.safetensors") -> bool:
    """Whether the checkpoints of two runs hold the same tensors, bit for bit."""
    first, second = load_file(one / name), load_file(other / name)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def interrupt_at(step: int) -> Progress:
    """A listener that presses Ctrl-C when so many steps are done."""

    def listen(_task: str, done: int, _total: int, _numbers: dict[str, float]) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return listen
