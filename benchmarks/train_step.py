"""One training step: our MANNER beside the plain formulation of the same network.

A step is the forward pass, the weighted loss, the backward pass and Adam. Both have the same weights and, which is
checked first, the same output. They run in turn, so that whatever else the machine does meets both; the memory is the
rise of a fresh process's resident set over that of the network and Adam's state.

    python benchmarks/train_step.py --cases S12/3 B60/4 --repeats 7 --out benchmarks/results/train_step.md
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from paired import Case, main

from sotto.losses import Weighted

WARM_UP_S = 0.25


def prepare(case: Case, formulation: str, threads: int) -> Callable[[], object]:
    """A training step, ready to run."""
    torch.set_num_threads(threads)
    network, noisy, loss = case.network(formulation).train(), case.noisy(), Weighted()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def work(noisy: torch.Tensor = noisy) -> None:
        optimizer.zero_grad()
        loss(0.5 * noisy, network(noisy), noisy).mean().backward()
        optimizer.step()

    work(case.noisy(WARM_UP_S))
    return work


if __name__ == "__main__":
    main(prepare, __doc__ or "")
