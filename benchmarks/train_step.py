"""One training step on one core: the formulation for CPUs beside torch's own operators.

A step is the forward pass, the loss, the backward pass and Adam. Both networks have the same weights and, which is
checked first, the same gradients. They run in turn, so that whatever else the machine does meets both; beside
the time on the clock stands that of the process, which does not count the time that others had the core. The memory is
the rise of a fresh process's resident set over that of the network and Adam's state.

``--mixing`` also times the mixing of such batches, with the default augmentation, from two folders of recordings.

``--attention`` compares with MANNER's attention as one would write it first (see eager_manner.py), torch's own
operators included.

    python benchmarks/train_step.py --repeats 9 --out benchmarks/results/train_step.json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from eager_manner import eager
from paired import MEGA, alternate, machine
from torch import Tensor

from sordino import models
from sordino.data import sources
from sordino.evaluation.speed import peak_of
from sordino.files import write_text
from sordino.json_files import write_json
from sordino.losses import LOSSES
from sordino.models.manner import Manner
from sordino.placement import plain_operators
from sordino.report.table import Table

TOLERANCE = 1e-9
"""Of the largest gradient, in double precision."""
MIXED, MIXING_CASE = 400, "U-Net 24"
"""Items that are mixed to be timed, and the case whose batches they fill; codecs are rare and cost most."""
HEADER = [
    *("Network", "Batch", "Before, clock", "After", "Faster"),
    *("Before, core", "After", "Faster", "Before, peak", "After"),
]


@dataclass(frozen=True)
class Case:
    """A network, the loss that its recipe trains it with, and the batch."""

    model: str
    arguments: dict[str, int]
    loss: str
    batch: int
    seconds: float

    def network(self, eager_attention: bool) -> models.Enhancer:
        """The network, the same weights in every process."""
        torch.manual_seed(0)
        network = models.create(self.model, **self.arguments)
        return eager(network) if eager_attention and isinstance(network, Manner) else network

    def signals(self) -> tuple[Tensor, Tensor]:
        """Clean and noisy signals [B,T]."""
        shape = self.batch, round(self.seconds * models.Enhancer.sample_rate)
        clean, noise = 0.1 * torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
        return clean, clean + noise


CASES = {
    "U-Net 24": Case("unet", {}, "compressed", 8, 2.0),
    "U-Net 24, 512/128": Case("unet", {"window": 512, "hop": 128}, "compressed", 8, 2.0),
    "MANNER-S-1.5GF": Case("manner-s", {"hidden": 12, "depth": 3}, "weighted", 4, 4.0),
    "MANNER-S-8.1GF": Case("manner-s", {"hidden": 30, "depth": 3}, "weighted", 4, 4.0),
    "MANNER-B": Case("manner-b", {"hidden": 60, "depth": 4}, "weighted", 1, 4.0),
}


@dataclass(frozen=True)
class Row:
    """Medians of both formulations; ``faster`` and ``less_work`` are medians of the ratios pair by pair."""

    case: str
    batch: str
    ours_s: float
    plain_s: float
    faster: float
    ours_cpu_s: float
    plain_cpu_s: float
    less_work: float
    ours_mb: float
    plain_mb: float


def prepare(case: Case, plain: bool, eager_attention: bool) -> Callable[[], object]:
    """A training step, ready to run."""
    torch.set_num_threads(1)
    network, loss = case.network(plain and eager_attention).train(), LOSSES[case.loss]()
    clean, noisy = case.signals()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def work(count: int | None = None) -> None:
        optimizer.zero_grad()
        with plain_operators() if plain else nullcontext():
            loss(clean[:count], network(noisy[:count]), noisy[:count]).mean().backward()
        optimizer.step()

    work(1)
    return work


def same(case: Case, eager_attention: bool) -> None:
    """Stop unless both formulations have the same gradients, in double precision; the plain one may have the eager
    attention."""
    clean, noisy = (one[:1, :8000].double() for one in case.signals())
    loss, found = LOSSES[case.loss](), []
    for plain in (False, True):
        network = case.network(eager_attention=plain and eager_attention).double().train()
        with plain_operators() if plain else nullcontext():
            loss(clean, network(noisy), noisy).mean().backward()
        found.append([one.grad for one in network.parameters() if one.grad is not None])
    largest = max(float(one.abs().max()) for one in found[1])
    difference = max(float((one - other).abs().max()) for one, other in zip(*found, strict=True)) / largest
    if not difference < TOLERANCE:
        raise SystemExit(f"{case}: gradients differ by {difference:g} of the largest; there is nothing to compare")


def measure(name: str, repeats: int, eager_attention: bool) -> Row:
    """Both formulations of a case, in turn."""
    case = CASES[name]
    same(case, eager_attention)
    prepared = [partial(prepare, case, plain, eager_attention) for plain in (False, True)]
    ours_mb, plain_mb = (peak_of(one) / MEGA for one in prepared)
    works = [one() for one in prepared]
    times = np.array(alternate(works, repeats, lambda: np.array([time.perf_counter(), time.process_time()])))
    (ours, ours_cpu), (plain, plain_cpu) = np.median(times, axis=0)
    faster, less_work = (median(times[:, 1, clock] / times[:, 0, clock]) for clock in (0, 1))
    batch = f"{case.batch} x {case.seconds:g} s"
    return Row(name, batch, ours, plain, float(faster), ours_cpu, plain_cpu, float(less_work), ours_mb, plain_mb)


def mixing(clean: str, noise: str, row: Row) -> str:
    """What the mixing of a batch costs, in words: processor time, and its share of the step of the same batch."""
    case = CASES[row.case]
    segments = sources.create("mix", clean=clean, noise=noise, segment_s=case.seconds, epoch_size=MIXED).train(0)
    started = 0.0
    for epoch in range(3):  # the first ones decode recordings, which stay in memory
        started = time.process_time()
        for index in range(MIXED):
            _ = segments[epoch, index]
    batch_s = (time.process_time() - started) / MIXED * case.batch
    share = 100 * batch_s / row.ours_cpu_s
    return f"Mixing {row.batch} with all augmentation: {1000 * batch_s:.0f} ms of a core, {share:.0f} % of that step."


def entries(row: Row) -> list[str]:
    """The entries of a row of the table."""
    wall = [f"{1000 * row.plain_s:.0f} ms", f"{1000 * row.ours_s:.0f} ms", f"{row.faster:.2f} x"]
    core = [f"{1000 * row.plain_cpu_s:.0f} ms", f"{1000 * row.ours_cpu_s:.0f} ms", f"{row.less_work:.2f} x"]
    return [row.case, row.batch, *wall, *core, f"{row.plain_mb:.0f} MB", f"{row.ours_mb:.0f} MB"]


def main() -> None:
    """Read the command line, measure, show the table and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="which; all by default")
    parser.add_argument("--repeats", type=int, default=9, help="pairs of measurements (default 9)")
    parser.add_argument("--attention", action="store_true", help="compare with plain attention as well")
    parser.add_argument("--mixing", nargs=2, metavar=("CLEAN", "NOISE"), help="folders, for a batch of the U-Net")
    parser.add_argument("--out", type=Path, nargs="+", default=[], help="write the report there: .md or .json, or both")
    given = parser.parse_args()
    print(*HEADER, sep="  ", flush=True)
    rows = []
    for name in given.cases:
        rows.append(measure(name, given.repeats, given.attention))
        print(*entries(rows[-1]), sep="  ", flush=True)
    title, facts = (__doc__ or "").partition("\n")[0], f"{machine(1)} Medians of {given.repeats} pairs."
    if given.mixing:
        clean, noise = given.mixing
        facts += "".join(f" {mixing(clean, noise, row)}" for row in rows if row.case == MIXING_CASE)
    text = f"# {title}\n\n{Table.of(HEADER, [entries(row) for row in rows], [facts]).to_markdown()}"
    print(f"\n{facts}")
    for path in given.out:
        if path.suffix == ".json":
            write_json(path, {"title": title, "machine": facts, "rows": [asdict(row) for row in rows]})
        else:
            write_text(path, text)


if __name__ == "__main__":
    main()
