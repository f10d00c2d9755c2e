"""Many processes are one: every method has the gradient of the whole batch, and all stop where one diverges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from helpers.ranks import RANKS, begin, finish
from sordino import distributed, models
from sordino.distill.methods import METHODS
from sordino.distill.teachers import Teacher
from sordino.losses import L1
from sordino.training import Balance, Objective, Settings
from sordino.training.collectives import mean
from sordino.training.divergence import Diverged
from sordino.training.fabric import open_fabric, wrap
from sordino.types import Batch

ACROSS = {"similarity": {"axes": ["batch", "frame_batch"]}, "rkd": {"among": "items"}, "pkt": {"among": "items"}}
"""Arguments by which methods compare items, where that is a matter of choice."""

# A loss that is not finite


def diverge(rank: int) -> None:
    """A batch whose clean speech is not a number in the second process alone ends both in the same way."""
    fabric = open_fabric(Settings(accelerator="cpu", threads=1), unused=True)
    student = models.create("unet", width=4, depth=2, groups=1)
    noisy = torch.ones(1, 1600)
    batch = Batch(noisy, noisy / (float("nan") if rank else 2), torch.full((1,), 1600), (f"item {rank}",))
    learner = wrap(fabric, student, Objective({"l1": L1()}, {}, student), Settings())
    with pytest.raises(Diverged, match="nan on the batch item 1" if rank else "not finite in another process"):
        learner(lambda: batch, 0)


def test_all_processes_stop_where_one_diverges() -> None:
    finish(begin(diverge))


# Gradients


def whole_batch() -> Batch:
    """Four items, of which one has no reference: the first process sees one with, the second two."""
    clean, noise = 0.1 * torch.randn(2, 4, 1600, generator=torch.Generator().manual_seed(0))
    has_clean = torch.tensor([False, True, True, True])
    return Batch(clean + noise, clean * has_clean[:, None], torch.full((4,), 1600), tuple("abcd"), has_clean)


def gradients() -> dict[str, Tensor]:
    """Method -> loss and gradient of the whole batch, of which this process sees its part."""
    settings = Settings(accelerator="cpu", threads=1)
    fabric, found, whole = open_fabric(settings, unused=True), {}, whole_batch()
    rank, size = distributed.rank(), distributed.world_size()
    own = slice(rank * 4 // size, (rank + 1) * 4 // size)
    parts: dict[str, Any] = {name: None if value is None else value[own] for name, value in vars(whole).items()}
    batch = Batch(**parts)
    for name, method in METHODS.items():
        torch.manual_seed(0)
        # Running statistics: batch norm over a part of a batch is another one.
        student = models.create("manner-s", hidden=12, depth=2).eval()
        teacher = Teacher(models.create("manner-b", hidden=18, depth=2))
        objective = Objective(
            {"l1": L1()}, {name: method(**ACROSS.get(name, {}))}, student, teacher, {f"kd/{name}": Balance(0.5)}
        )
        objective.prepare(student, batch)
        learner = wrap(fabric, student, objective.eval(), settings)
        total, _ = learner(lambda: batch, 0)
        fabric.backward(total)
        parameters = [*student.parameters(), *objective.parameters()]
        graded = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
        found[name] = torch.cat([mean(total.detach()).view(1), parameters_to_vector(graded)])
    return found


def save_gradients(rank: int, folder: Path) -> None:
    torch.save(gradients(), folder / f"{rank}.pt")


@pytest.mark.slow
def test_every_method_has_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    started = begin(save_gradients, tmp_path)
    wanted = gradients()
    finish(started)
    for rank in range(RANKS):
        found = torch.load(tmp_path / f"{rank}.pt")
        for name in METHODS:
            scale = wanted[name].abs().max()
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=float(1e-5 * scale), msg=name)
