"""Training on one or many devices with Lightning Fabric, and the module that it trains.

``torchrun`` or ``srun`` starts a process for each device. Every process holds the same weights and gets ``batch_size``
items of each batch; PyTorch's DistributedDataParallel averages the gradients of all.

Batch norm works as is usual there: each process normalises over its own items, and the running statistics of the first
are kept. With ``sync_batch_norm`` PyTorch's SyncBatchNorm normalises over all items; it needs GPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from sordino.distributed import launched
from sordino.errors import InputError
from sordino.training.objective import Objective
from sordino.training.settings import Settings
from sordino.types import Batch, Terms

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Learner(nn.Module):
    """One module of the student and the objective, whose methods may learn too, so that all gradients are averaged.

    Args:
        student: the network to train.
        objective: what to minimise.
    """

    def __init__(self, student: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.student, self.objective = student, objective

    def forward(self, batch: Callable[[], Batch], step: int) -> tuple[Tensor, Terms]:
        """Return the weighted sum and the terms of the objective.

        The batch comes as a function because Fabric casts every tensor argument to the training precision. Clean speech
        would then have the 8 significant bits of bfloat16; autocast casts only where that does no harm.
        """
        return self.objective(self.student, batch(), step)


def open_fabric(settings: Settings, unused: bool) -> Fabric:
    """Choose the device of this process, and form a group with the other processes that a launcher started.

    Args:
        settings: of the run.
        unused: whether a step may leave some of the weights without a gradient, as losses on features do. PyTorch
            then looks for them in every step, and warns once if it finds none.

    Raises:
        InputError: no such accelerator, too few of them, or a launch that does not fit the machines.
    """
    # Imported late: it takes as long as torch itself, and nothing but training needs it.
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    launch = launched()
    strategy = DDPStrategy(find_unused_parameters=unused) if launch.processes > 1 else "auto"
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            strategy=strategy,
            devices=launch.per_node,
            num_nodes=launch.nodes,
            precision=settings.precision,
        )
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise InputError("train.accelerator", str(error), hint="take auto or cpu") from error
    if settings.sync_batch_norm and fabric.device.type != "cuda":
        found = f"PyTorch has no such batch norm on {fabric.device.type}"
        raise InputError("train.sync_batch_norm", found, "a GPU for each process", "leave it out")
    return fabric


def wrap(fabric: Fabric, student: nn.Module, objective: Objective, settings: Settings) -> Any:
    """Return a ``Learner`` that holds ``student`` and ``objective`` themselves, set up by Fabric."""
    learner: nn.Module = Learner(student, objective)
    if settings.sync_batch_norm:
        learner = nn.SyncBatchNorm.convert_sync_batchnorm(learner)
    return fabric.setup_module(learner)
