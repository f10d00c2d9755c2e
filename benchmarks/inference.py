"""One forward pass: our MANNER beside the plain formulation of the same network.

Both have the same weights and, which is checked first, the same output. They run in turn, so that whatever else the
machine does meets both; the memory is the rise of a fresh process's resident set over that of the loaded network.

    python benchmarks/inference.py --cases S12/3 B60/4 --repeats 7 --out benchmarks/results/inference.md
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from paired import Case, main

WARM_UP_S = 0.25


def prepare(case: Case, formulation: str, threads: int) -> Callable[[], object]:
    """A forward pass in eval mode, ready to run."""
    torch.set_num_threads(threads)
    network, noisy = case.network(formulation).eval(), case.noisy()

    def work(noisy: torch.Tensor = noisy) -> None:
        with torch.inference_mode():
            network(noisy)

    work(case.noisy(WARM_UP_S))
    return work


if __name__ == "__main__":
    main(prepare, __doc__ or "")
