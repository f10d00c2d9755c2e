"""Average the weights of two checkpoints of one network, where the second went on from the first.

    python benchmarks/average.py FIRST.safetensors SECOND.safetensors AVERAGE.safetensors --share 0.75

What the average does lies between the two, often with more of what each gained than of what each lost (Wortsman et al.:
"Robust fine-tuning of zero-shot models", CVPR 2022). The header is that of the second, which says how it was trained,
with the share. The log beside the second goes with it.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch

from sordino import models
from sordino.models.base import Enhancer
from sordino.training.log import LOG


def main() -> None:
    """Read the words typed, and write the average."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", help="a checkpoint, or the name of a student that ships")
    parser.add_argument("second", type=Path, help="a checkpoint of a run that went on from it")
    parser.add_argument("out", type=Path, help="checkpoint to write")
    parser.add_argument("--share", type=float, default=0.5, help="of the second, 0 to 1 (default 0.5)")
    given = parser.parse_args()
    network = averaged(models.load(given.first), models.load(given.second), given.share)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    models.save(network, given.out, **models.read_about(given.second), averaged={str(given.first): 1 - given.share})
    if (given.second.parent / LOG).is_file() and given.second.parent.resolve() != given.out.parent.resolve():
        shutil.copy(given.second.parent / LOG, given.out.parent / LOG)


def averaged(first: Enhancer, second: Enhancer, share: float) -> Enhancer:
    """Return ``second`` with ``share`` of its own weights and the rest of those of ``first``.

    Raises:
        ValueError: the two are not of one network, or ``share`` is not within 0 and 1.
    """
    if (first.name, first.arguments) != (second.name, second.arguments):
        raise ValueError(f"{first.name} {first.arguments} and {second.name} {second.arguments} are not one network")
    if not 0 <= share <= 1:
        raise ValueError(f"share is 0 to 1, not {share}")
    before = first.state_dict()
    with torch.no_grad():
        for name, weight in second.state_dict().items():
            if weight.is_floating_point():
                weight.lerp_(before[name].to(weight.dtype), 1 - share)
    return second


if __name__ == "__main__":
    main()
