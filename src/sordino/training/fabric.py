"""One training step on however many processes: Fabric's choice of device, and all that learns as one module.

``torchrun`` or ``srun`` starts a process for each device. Every process holds the same weights, sees ``batch_size``
items of each batch, and has its gradients averaged with the others' by PyTorch's DistributedDataParallel.

Batch norm is as everywhere: each process normalises over its own items, and the first one's running statistics are
kept. With ``sync_batch_norm`` PyTorch's SyncBatchNorm normalises over all items; it runs on GPUs alone.
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
    """The student and what the methods learn, as one module: gradients of both are averaged together.

    Args:
        student: the network to train.
        objective: what to minimise.
    """

    def __init__(self, student: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.student, self.objective = student, objective

    def forward(self, batch: Callable[[], Batch], step: int) -> tuple[Tensor, Terms]:
        """The objective of a batch, which comes inside a function because Fabric rounds every tensor that it sees.

        In mixed precision that would be 8 bits for the clean speech, too; autocast halves what may be halved.
        """
        return self.objective(self.student, batch(), step)


def open_fabric(settings: Settings, unused: bool) -> Fabric:
    """The device of this process, having met the others that a launcher started.

    Args:
        settings: of the run.
        unused: whether a step may leave some of the weights without a gradient, as losses on features do. PyTorch
            then looks for them in every step, and warns once if it finds none.

    Raises:
        InputError: no such accelerator, too few of them, or a launch that does not fit the machines.
    """
    from lightning_fabric import Fabric  # takes as long as torch itself, and who measures needs none
    from lightning_fabric.strategies.ddp import DDPStrategy

    per_node, nodes = launched()
    strategy = DDPStrategy(find_unused_parameters=unused) if per_node * nodes > 1 else "auto"
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            strategy=strategy,
            devices=per_node,
            num_nodes=nodes,
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
    """The learner of ``student`` and ``objective``, which keep their places in it, set up for training."""
    learner: nn.Module = Learner(student, objective)
    if settings.sync_batch_norm:
        learner = nn.SyncBatchNorm.convert_sync_batchnorm(learner)
    return fabric.setup_module(learner)
