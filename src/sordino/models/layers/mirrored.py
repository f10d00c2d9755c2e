"""Parts of networks whose decoder mirrors the encoder: the paths of their taps, and how frequencies are doubled."""

from __future__ import annotations

from torch import Tensor


def mirrored_paths(depth: int, suffix: str = "") -> dict[str, str]:
    """Return the paths of the taps ``encoder.i`` and of their mirrors ``decoder.i``, i from 1 to ``depth``.

    Args:
        depth: layers of the encoder, and of the decoder.
        suffix: what follows the layer in a path, such as ``.out``.

    Returns:
        Tap to the path of a submodule. Decoder layers count from the outermost one, which runs last.
    """
    paths = {}
    for layer in range(1, depth + 1):
        paths[f"encoder.{layer}"] = f"encoder.{layer - 1}{suffix}"
    for layer in range(1, depth + 1):
        paths[f"decoder.{layer}"] = f"decoder.{depth - layer}{suffix}"
    return paths


def interleave(x: Tensor) -> Tensor:
    """Interleave channels that hold even and odd frequencies in turn: [B,2C,N,F] -> [B,C,N,2F-1].

    The last odd frequency is left out: the encoder made F frequencies of 2F - 1.
    """
    return x.unflatten(1, (-1, 2)).movedim(2, -1).flatten(-2)[..., :-1]
