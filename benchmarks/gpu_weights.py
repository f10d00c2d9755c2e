"""Checkpoints in half precision and in pieces, for machines that hand back little at a time; and joined again.

    python benchmarks/gpu_weights.py split runs/gpu/teacher/best.safetensors weights/teacher
    python benchmarks/gpu_weights.py join weights/teacher.json teacher.safetensors

Splitting writes ``NAME.000``, ``NAME.001``, ... and ``NAME.json``, which lists them with a checksum. Joining checks it,
goes back to float32 and keeps the header, so that the file is a checkpoint of sordino's again: its weights are those of
before, rounded to 11 bits. A tensor with a value beyond the range of float16 stays as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load as parse
from safetensors.torch import save as serialise

from sordino.errors import InputError
from sordino.files import atomic
from sordino.json_files import write_json

PIECE_BYTES = 16 * 2**20


def split(checkpoint: Path, out: Path, piece_bytes: int = PIECE_BYTES) -> list[Path]:
    """Write a checkpoint in half precision as pieces ``out``.000 and so on, of at most ``piece_bytes``.

    Returns:
        The files that were written: the list of pieces, ``out``.json, and the pieces.
    """
    with safe_open(checkpoint, "pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    halved = [name for name, value in tensors.items() if _fits(value)]
    content = serialise(tensors | {name: tensors[name].half() for name in halved}, metadata=header)
    out.parent.mkdir(parents=True, exist_ok=True)
    pieces = []
    for number, start in enumerate(range(0, len(content), piece_bytes)):
        pieces.append(out.with_name(f"{out.name}.{number:03d}"))
        with atomic(pieces[-1]) as temporary:
            temporary.write_bytes(content[start : start + piece_bytes])
    listing = out.with_name(f"{out.name}.json")
    names = [piece.name for piece in pieces]
    digest = hashlib.sha256(content).hexdigest()
    write_json(listing, {"pieces": names, "sha256": digest, "halved": halved, "header": header})
    return [listing, *pieces]


def join(listing: Path, out: Path) -> None:
    """Put the pieces of ``split`` together, in float32 again.

    Args:
        listing: the JSON file, beside its pieces.
        out: the checkpoint to write.

    Raises:
        InputError: a piece is missing, or the pieces are not those of the list.
    """
    facts = json.loads(listing.read_text("utf-8"))
    missing = [name for name in facts["pieces"] if not (listing.parent / name).is_file()]
    if missing:
        raise InputError(listing, f"{missing[0]} is not beside it", f"{len(facts['pieces'])} pieces")
    content = b"".join((listing.parent / name).read_bytes() for name in facts["pieces"])
    if hashlib.sha256(content).hexdigest() != facts["sha256"]:
        raise InputError(listing, "its pieces do not have its checksum", hint="fetch them again")
    tensors = parse(content)
    whole = tensors | {name: tensors[name].float() for name in facts["halved"]}
    with atomic(out) as temporary:
        temporary.write_bytes(serialise(whole, metadata=facts["header"]))


def _fits(value: torch.Tensor) -> bool:
    """Whether a tensor can go into float16 without becoming infinite."""
    return value.dtype == torch.float32 and bool(torch.isfinite(value.half()).all())


def main(words: Sequence[str] | None = None) -> None:
    """Read the words typed and split or join."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("split", "join"))
    parser.add_argument("source", type=Path, help="a checkpoint to split, or the JSON file beside pieces to join")
    parser.add_argument("out", type=Path, help="the pieces' folder and name, or the checkpoint to write")
    given = parser.parse_args(words)
    if given.what == "split":
        print(*split(given.source, given.out), sep="\n")
    else:
        join(given.source, given.out)


if __name__ == "__main__":
    main()
