"""Small networks trained for the same time of a processor core, and what they are worth then.

Every network sees the same batches in the same order, with the data and the loss of one recipe, until its training has
taken ``--minutes`` of processor time; the learning rate rises over the first tenth of it and falls along a cosine.
Then it is scored on the recipe's fixed validation mixtures, and with ``--test`` on its test pairs too. Parameters,
multiply-accumulates per second, latency, steps and the time of a step stand beside the scores.

A network is given as ``name`` or ``name:key=value,key=value``, its arguments.

    python benchmarks/family.py benchmarks/real/family.yaml --minutes 8 --test --out benchmarks/results/family.md \\
        --networks unet:width=24 dualpath:width=24,blocks=2
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from paired import machine

from sordino import losses, models
from sordino.data.base import Source
from sordino.data.loader import loader
from sordino.errors import InputError
from sordino.evaluation.cost import macs_per_second
from sordino.evaluation.score import score
from sordino.experiments.build import build_source
from sordino.experiments.recipe import Recipe, read
from sordino.files import write_text
from sordino.report.table import Table
from sordino.training import Weight
from sordino.types import Batch, Item

METRICS = ("pesq_wb", "stoi", "estoi", "si_sdr_db")
RISE = 0.1
"""Share of the training time over which the learning rate rises."""


@dataclass(frozen=True)
class Row:
    """A network, what it cost, and its mean scores by set of recordings."""

    network: str
    parameters: int
    mmacs: float
    latency_ms: float
    steps: int
    step_s: float
    scores: dict[str, dict[str, float]]


def main() -> None:
    """Read the words typed; train and score one network after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="whose data, loss and batches are taken")
    parser.add_argument("--networks", nargs="+", required=True, help="name or name:key=value,key=value")
    parser.add_argument("--minutes", type=float, default=8.0, help="of processor time for training each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", action="store_true", help="score the test pairs too")
    parser.add_argument("--keep", type=Path, help="folder for the trained weights")
    parser.add_argument("--out", type=Path, help="where to write the table as Markdown")
    given = parser.parse_args()
    recipe = read(given.recipe)
    torch.set_num_threads(1)
    source = build_source(recipe.data)
    sets = {"validation": source.valid()} | ({"test": source.test()} if given.test else {})
    rows = []
    for text in given.networks:
        network, steps, spent = train(text, source, recipe, 60 * given.minutes, given.seed)
        rows.append(measure(text, network.eval(), steps, spent, sets))
        print(json.dumps(asdict(rows[-1])), flush=True)
        if given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
            models.save(network, given.keep / f"{text.replace(':', '-')}.{given.seed}.safetensors", step=steps)
    facts = f"{machine(1)} {given.minutes:g} minutes of processor time each, seed {given.seed}."
    noisy = {name: score(None, items, METRICS, workers=0).means() for name, items in sets.items()}
    report = f"# {(__doc__ or '').partition(chr(10))[0]}\n\n{table(rows, noisy, facts)}"
    print(report)
    if given.out:
        write_text(given.out, report)


def create(text: str) -> models.Enhancer:
    """The network that a word of the command line names."""
    name, _, arguments = text.partition(":")
    pairs = (pair.split("=") for pair in arguments.split(",") if pair)
    return models.create(name, **{key: json.loads(value) for key, value in pairs})


def train(text: str, source: Source, recipe: Recipe, budget_s: float, seed: int) -> tuple[models.Enhancer, int, float]:
    """A network trained until its steps have taken ``budget_s``; returns it, the steps, and the seconds they took.

    What is counted is processor time of the steps alone: data takes the same for every network.
    """
    torch.manual_seed(seed)
    network = create(text).train()
    settings = recipe.train
    terms = {name: losses.LOSSES[name](**arguments) for name, arguments in recipe.losses.items()}
    weights = {f"loss/{name}": _number(recipe.weights.get(f"loss/{name}", 1.0)) for name in terms}
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.max_lr)
    spent, steps = 0.0, 0
    for batch in batches(source, settings.batch_size, seed):
        assert batch.clean is not None
        began = time.process_time()
        optimizer.param_groups[0]["lr"] = settings.max_lr * pace(spent / budget_s)
        estimate = network(batch.noisy)
        values = {name: term(batch.clean, estimate, batch.noisy).mean() for name, term in terms.items()}
        optimizer.zero_grad()
        torch.stack([weights[f"loss/{name}"] * value for name, value in values.items()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.grad_clip or math.inf)
        optimizer.step()
        spent, steps = spent + time.process_time() - began, steps + 1
        if spent >= budget_s:
            break
    return network, steps, spent


def _number(weight: Weight) -> float:
    """The weight of a loss; ramps and balances follow the steps of a run, of which networks take as many as they can.

    Raises:
        InputError: a weight that is not a plain number.
    """
    if not isinstance(weight, float):
        raise InputError("weights", f"{weight} follows the steps of a run", "a number")
    return weight


def batches(source: Source, batch_size: int, seed: int) -> Iterator[Batch]:
    """Batches without end, epoch after epoch."""
    segments, epoch = source.train(seed), 0
    while True:
        yield from loader(segments, batch_size, seed, epoch)
        epoch += 1


def pace(share: float) -> float:
    """The learning rate as a share of the largest, when ``share`` of the time has passed."""
    if share < RISE:
        return max(share / RISE, 0.04)
    return 0.5 * (1 + math.cos(math.pi * min((share - RISE) / (1 - RISE), 1.0)))


def measure(text: str, network: models.Enhancer, steps: int, spent: float, sets: dict[str, Sequence[Item]]) -> Row:
    """The row of a trained network."""

    def enhance(noisy: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.from_numpy(noisy)[None])[0].numpy()

    scores = {name: score(enhance, items, METRICS, workers=0).means() for name, items in sets.items()}
    return Row(
        text,
        models.count_parameters(network),
        macs_per_second(network) / 1e6,
        1000 * (network.latency_s or math.nan),
        steps,
        spent / steps,
        scores,
    )


def table(rows: Sequence[Row], noisy: dict[str, dict[str, float]], note: str) -> str:
    """Make the table in Markdown; the noisy input comes first."""
    labels = ["network", "parameters", "M MAC/s", "latency (ms)", "steps", "step (s)"]
    labels += [f"{name}: {metric}" for name in noisy for metric in ("PESQ", "STOI %", "ESTOI %", "SI-SDR dB")]
    lines = [["noisy input", *[""] * 5, *_figures(noisy)]]
    for row in rows:
        cost = [f"{row.parameters:,}", f"{row.mmacs:.1f}", f"{row.latency_ms:g}", str(row.steps), f"{row.step_s:.3f}"]
        lines.append([row.network, *cost, *_figures(row.scores)])
    return Table.of(labels, lines, [note]).to_markdown()


def _figures(scores: dict[str, dict[str, float]]) -> list[str]:
    return [
        figure
        for means in scores.values()
        for figure in (
            f"{means['pesq_wb']:.3f}",
            f"{100 * means['stoi']:.1f}",
            f"{100 * means['estoi']:.1f}",
            f"{means['si_sdr_db']:.2f}",
        )
    ]


if __name__ == "__main__":
    main()
