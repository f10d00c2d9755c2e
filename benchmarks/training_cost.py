"""What a training step costs, network by network: calculated, and checked against measured steps.

Memory is 16 bytes for each weight (itself, its gradient, and Adam's two moments, in single precision) and what the
backward pass needs of the forward pass: the distinct tensors that autograd keeps, counted while one item goes through
network and loss in training mode, times the batch. Work is three times the multiply-accumulates of a forward pass, for
the backward pass computes gradients of activations and of weights.

Both hold for torch's own operators, those of a GPU. On a CPU the formulation is another one, which keeps less and takes
two thirds of the time.

The check is the rise of a fresh process's resident set during its first step, and the time of the step, of the recipes
in ``--measure``. The weights, 4 of the 16 bytes, are loaded before it and are not part of the rise. The time says how
many multiply-accumulates per second the machine sustains.

    python benchmarks/training_cost.py --measure valentini/manner-s-1.5gf --out benchmarks/results/training_cost.md
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from paired import MEGA, machine
from torch import Tensor, nn

from sordino import models
from sordino.evaluation.cost import macs_per_second
from sordino.evaluation.speed import peak_of
from sordino.experiments.build import build_network
from sordino.experiments.recipe import read
from sordino.files import write_text
from sordino.losses import LOSSES
from sordino.placement import plain_operators
from sordino.report.table import Table

SIZES = ("1.5gf", "5.3gf", "8.1gf", "38gf")
RECIPES = (
    *(f"valentini/manner-s-{size}" for size in SIZES),
    *(f"valentini/{name}" for name in ("manner-b-teacher", "demucs-s", "demucs-l", "tstnn")),
    "unet/teacher",
)
BYTES_PER_WEIGHT = 16
HEADER = ["Recipe", "Batch", "Weights", "Memory", "Multiply-adds", "Measured memory", "Step", "Sustained"]


@dataclass(frozen=True)
class Step:
    """One training step of a supervised recipe."""

    recipe: str
    batch: int
    seconds: float
    network: models.Enhancer
    losses: list[nn.Module]

    def run(self, items: int) -> Tensor:
        """The loss of ``items`` of noise."""
        shape = items, round(self.seconds * self.network.sample_rate)
        clean, noise = 0.1 * torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
        noisy = clean + noise
        estimate = self.network(noisy)
        return torch.stack([loss(clean, estimate, noisy).mean() for loss in self.losses]).sum()


def step_of(recipe: str) -> Step:
    """The step of a recipe that ships, without its teacher."""
    values = read(recipe)
    torch.manual_seed(0)
    losses = [LOSSES[name](**arguments) for name, arguments in values.losses.items()]
    network = build_network(values.model).train()
    return Step(recipe, values.train.batch_size, values.data.arguments.get("segment_s", 4.0), network, losses)


def kept(step: Step) -> int:
    """Bytes that autograd keeps of one item for the backward pass, each storage once, the weights not."""
    weights = {one.untyped_storage().data_ptr() for one in step.network.parameters()}
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with plain_operators(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = step.run(1)  # bound to a name, so that nothing is freed and counted twice
    del loss
    return sum(storages.values())


def prepare(recipe: str) -> Callable[[], object]:
    """A step ready to run."""
    torch.set_num_threads(1)
    step = step_of(recipe)
    optimizer = torch.optim.Adam(step.network.parameters())

    def work() -> None:
        optimizer.zero_grad()
        with plain_operators():
            step.run(step.batch).backward()
        optimizer.step()

    return work


def entries(recipe: str, measured: bool) -> list[str]:
    """Count a step, and measure it where asked; returns a row of the table."""
    step = step_of(recipe)
    weights = models.count_parameters(step.network)
    memory = (weights * BYTES_PER_WEIGHT + kept(step) * step.batch) / MEGA
    giga = 3 * macs_per_second(step.network, step.seconds) * step.seconds * step.batch / 1e9
    cells = [
        recipe,
        f"{step.batch} x {step.seconds:g} s",
        f"{weights / 1e6:.2f} M",
        f"{memory:.0f} MB",
        f"{giga:.0f} G",
    ]
    if measured:
        rise = peak_of(partial(prepare, recipe)) / MEGA
        work = prepare(recipe)
        work()
        started = time.perf_counter()
        work()
        taken = time.perf_counter() - started
        cells += [f"{rise:.0f} MB", f"{taken:.2f} s", f"{giga / taken:.0f} G/s"]
    else:
        cells += ["", "", ""]
    return cells


def main() -> None:
    """Read the command line, count and measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), help="which; supervised ones that ship")
    parser.add_argument("--measure", nargs="*", default=[], help="those of them to check by a measurement")
    parser.add_argument("--out", type=Path, help="write the table there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for recipe in given.recipes:
        rows.append(entries(recipe, recipe in given.measure))
        print(*rows[-1], sep="  ", flush=True)
    if given.out:
        table = Table.of(HEADER, rows, [machine(1)])
        write_text(given.out, f"# What a training step costs\n\n{table.to_markdown()}")


if __name__ == "__main__":
    main()
