"""Small networks as ONNX files: each is exported once, as that takes seconds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor

from helpers.noise import noise
from helpers.shared import once
from sordino import models
from sordino.export import Parity, to_onnx
from sordino.models import Enhancer
from sordino.models.base import State, StreamingEnhancer

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "manner-s": ("manner-s", {"hidden": 4, "depth": 2}),
    "tstnn": ("tstnn", {"channels": 8, "blocks": 1, "heads": 2, "frame": 64}),
    "demucs": ("demucs", {"hidden": 4, "depth": 1}),
    "demucs-both-ways": (
        "demucs",
        {"hidden": 4, "depth": 1, "causal": False, "normalisation": "item", "resample": 2},
    ),
    "demucs-running": (
        "demucs",
        {"hidden": 4, "depth": 2, "kernel": 16, "stride": 8, "normalisation": "running"},
    ),
    "unet": ("unet", {"width": 4, "depth": 2, "groups": 2, "bottleneck": 2, "window": 512, "hop": 128}),
    "dualpath": ("dualpath", {"width": 4, "blocks": 1, "bands": 41, "window": 256, "hop": 64}),
}
SMALLEST: dict[str, Any] = {"name": "demucs", "hidden": 2, "depth": 1, "normalisation": "running"}
SMALLEST |= {"kernel": 256, "stride": 256}  # hops of 64 samples: by hops of one, a second takes minutes to calibrate
"""A network that is exported and streams in a moment, for the command line."""
ABOUT = {"licence": "MIT"}
OLDER_GRAPH = onnx.ModelProto(metadata_props=[{"key": "arguments", "value": "{}"}]).SerializeToString()
"""What an earlier export might have left: nothing but the mark of its metadata."""


@dataclass(frozen=True)
class Exported:
    """A network in eval mode, its files, and how near they are to it."""

    network: Enhancer
    path: Path
    parity: Parity


def build(name: str) -> Enhancer:
    """A network in training mode whose norms have statistics, not the initial zeros and ones."""
    torch.manual_seed(0)
    kind, arguments = NETWORKS[name]
    network = models.create(kind, **arguments).train()
    with torch.no_grad():
        for seed in range(3):
            network(noise(4, 4000, seed=seed))
    return network


def export(name: str, folder: Path) -> Exported:
    """A network of ``NETWORKS`` as ``folder/NAME/student.onnx``, made there by whoever asks first."""
    network = build(name)

    def make(half: Path) -> None:
        parity = to_onnx(network, half / "student.onnx", about=ABOUT)
        assert network.training
        (half / "parity.json").write_text(json.dumps(asdict(parity)))

    kept = once(folder / name, make)
    stored = json.loads((kept / "parity.json").read_text())
    parity = Parity(**{**stored, "lengths": tuple(stored["lengths"])})
    return Exported(network.eval(), kept / "student.onnx", parity)


class Half(StreamingEnhancer):
    """Half of its input, in the smallest graph there is.

    Args:
        streams: whether it runs hop by hop too.
        wrong: "whole" or "step", the graph that is to be another network than this one.
    """

    name, hop, delay = "half", 160, 0

    def __init__(self, streams: bool = True, wrong: str = "") -> None:
        super().__init__()
        self.arguments, self.wrong, self._streams = {}, wrong, streams
        self.gain = torch.nn.Parameter(torch.tensor(0.5))

    @property
    def streams(self) -> bool:
        return self._streams

    def initial_state(self, batch: int = 1) -> State:
        return (torch.zeros(batch, 1),)

    def forward(self, noisy: Tensor) -> Tensor:
        return self._scaled(noisy, "whole")

    def step(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        return self._scaled(block, "step"), (0.5 * state[0] + block[:, -1:],)

    def _scaled(self, wave: Tensor, graph: str) -> Tensor:
        return wave * (2 * self.gain if self.wrong == graph and torch.compiler.is_exporting() else self.gain)
