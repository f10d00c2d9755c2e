"""Make a trained network larger without changing what it computes.

    python benchmarks/grow.py runs/real/taught/last.safetensors runs/real/grown.safetensors --blocks 3
    python benchmarks/grow.py unet-24 runs/real/whole.safetensors --not-causal

A dual-path network gets more blocks: a block adds the output of its layer norms to its input, and the norms of a new
one begin at 0. A U-Net gets to read the whole recording: the weights for the frame after, and those that read the GRUs
which run backward, begin at 0. Training goes on from there with room to learn more. The hours that the log beside
the checkpoint tells go into the header.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F

from sordino import models
from sordino.models.base import Enhancer, count_parameters
from sordino.models.dualpath import DualPath, DualPathNetwork
from sordino.models.unet import UNet
from sordino.training import read_log
from sordino.training.log import LOG


def main() -> None:
    """Read the words typed, and write the larger network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="of a dual-path network or a U-Net; or the name of one that ships")
    parser.add_argument("out", type=Path, help="checkpoint to write")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--blocks", type=int, help="dual-path blocks that it shall have")
    how.add_argument("--not-causal", action="store_true", help="a U-Net that reads the whole recording")
    given = parser.parse_args()
    network = models.load(given.checkpoint)
    larger = not_causal(network) if given.not_causal else grown(network, given.blocks)
    about = models.read_about(given.checkpoint)
    if Path(given.checkpoint).is_file():  # and not the name of one that ships
        about |= hours(Path(given.checkpoint).parent)
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


def not_causal(network: Enhancer) -> UNet:
    """Return a U-Net that can read the whole recording, and as yet has the output of the causal ``network``.

    Raises:
        ValueError: ``network`` is not a causal U-Net.
    """
    if not isinstance(network, UNet) or not network.causal:
        raise ValueError(f"a causal U-Net was expected, not {network.name} with {network.arguments}")
    torch.manual_seed(0)
    larger = UNet(**network.arguments | {"causal": False})
    weights = larger.state_dict()
    for name, value in network.state_dict().items():
        if name == "bottleneck.mix.weight":
            value = torch.cat([value, torch.zeros_like(value)], dim=1)
        elif weights[name].shape != value.shape:  # a kernel of two frames
            value = F.pad(value, (0, 0, 0, 1))
        weights[name] = value
    larger.load_state_dict(weights)
    return larger.train(network.training)


if __name__ == "__main__":
    main()
