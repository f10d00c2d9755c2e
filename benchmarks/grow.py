"""Add blocks to a trained dual-path network without changing what it computes.

    python benchmarks/grow.py runs/real/taught/last.safetensors runs/real/grown.safetensors --blocks 3

A block adds the output of its layer norms to its input. The norms of a new block begin at 0, so the network computes
what it did, and training goes on from there with room to learn more. The hours that the log beside the checkpoint tells
go into the header.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import torch

from sordino import models
from sordino.models.base import Enhancer, count_parameters
from sordino.models.dualpath import DualPath, DualPathNetwork
from sordino.training import read_log
from sordino.training.log import LOG


def main() -> None:
    """Read the words typed, and write the larger network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="of a dual-path network")
    parser.add_argument("out", type=Path, help="checkpoint to write")
    parser.add_argument("--blocks", type=int, required=True, help="dual-path blocks that it shall have")
    given = parser.parse_args()
    network = models.load(given.checkpoint)
    larger = grown(network, given.blocks)
    about = models.read_about(given.checkpoint) | hours(given.checkpoint.parent)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    models.save(larger, given.out, **about)
    print(f"{given.out}: {count_parameters(network):,} parameters became {count_parameters(larger):,}")


def hours(folder: Path) -> dict[str, float]:
    """Return how long the run in a folder took, as an entry of a header; empty where there is no log."""
    if not (folder / LOG).is_file():
        return {}
    return {"hours": round(max(record.get("seconds", 0.0) for record in read_log(folder)) / 3600, 2)}


def grown(network: Enhancer, blocks: int) -> DualPathNetwork:
    """Return a network with more ``blocks`` than the dual-path ``network``, and the same output.

    Raises:
        ValueError: ``network`` has as many blocks already, or is of another kind.
    """
    if not isinstance(network, DualPathNetwork) or network.arguments["blocks"] >= blocks:
        raise ValueError(f"a dual-path network of fewer than {blocks} blocks was expected, not {network.arguments}")
    torch.manual_seed(0)
    larger = DualPathNetwork(**network.arguments | {"blocks": blocks})
    larger.load_state_dict(network.state_dict(), strict=False)
    with torch.no_grad():
        for block in larger.blocks[len(network.blocks) :]:
            for norm in cast(DualPath, block).norms:
                for parameter in norm.parameters():
                    parameter.zero_()
    return larger.train(network.training)


if __name__ == "__main__":
    main()
