"""DEMUCS as its authors publish it: the state itself, or a package of it with ``class``, ``args`` and ``kwargs``.

Width, kernel and growth are read off the shapes of the tensors, depth off their number, and that it is not causal off
the linear layer behind the LSTM. No tensor tells stride and resampling: these are what a package states, and otherwise
4 and 4, which the authors' released networks have; a warning says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sordino.models.published.checkpoint_format import CheckpointFormat, Rules, State, rename

_RULES: Rules = (
    (r"encoder\.(\d+)\.0\.", r"encoder.\1.down."),
    (r"encoder\.(\d+)\.2\.", r"encoder.\1.mix."),
    (r"decoder\.(\d+)\.0\.", r"decoder.\1.mix."),
    (r"decoder\.(\d+)\.2\.", r"decoder.\1.up."),
    (r"lstm\.(lstm|linear)\.", r"latent.\1."),
)
_OURS = {
    "hidden": "hidden",
    "depth": "depth",
    "kernel_size": "kernel",
    "stride": "stride",
    "resample": "resample",
    "growth": "growth",
    "causal": "causal",
}
_ALWAYS = {"chin": 1, "chout": 1, "normalize": True, "glu": True, "floor": 1e-3, "sample_rate": 16000}
# The one says how weights begin, the other what their shapes show.
_IDLE = ("rescale", "max_hidden")
_SIGNATURE = (
    *("chin", "chout", "hidden", "depth", "kernel_size", "stride", "causal", "resample", "growth", "max_hidden"),
    *("normalize", "glu", "rescale", "floor", "sample_rate"),
)


def arguments(state: State, stated: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The arguments of the network that the state belongs to.

    Raises:
        ValueError: a stated argument that is not known, a value that our network does not follow, or one that the
            tensors contradict.
    """
    for name, value in stated.items():
        if name not in (*_OURS, *_ALWAYS, *_IDLE):
            raise ValueError(f"an unknown argument, {name}={value!r}")
        if name in _ALWAYS and value != _ALWAYS[name]:
            raise ValueError(f"{name}={value!r}, where only {_ALWAYS[name]!r} can be built")
    hidden, _, kernel = state["encoder.0.0.weight"].shape
    depth = len({match[1] for name in state if (match := re.match(r"encoder\.(\d+)\.", name))})
    # The LSTM is as wide as the deepest layer: hidden growth^(depth - 1).
    deepest = state["lstm.lstm.weight_hh_l0"].shape[-1]
    shown = {
        "hidden": hidden,
        "depth": depth,
        "kernel": kernel,
        "causal": "lstm.linear.weight" not in state,
    }
    if depth > 1:
        shown["growth"] = round((deepest / hidden) ** (1 / (depth - 1)))
    told = {ours: stated[name] for name, ours in _OURS.items() if name in stated}
    for name, ours in _OURS.items():
        if ours in shown and told.get(ours, shown[ours]) != shown[ours]:
            raise ValueError(f"{name}={told[ours]!r} beside tensors of a network with {name}={shown[ours]!r}")
    return "demucs", {"stride": 4, "resample": 4, "growth": 2} | told | shown


def translate(state: State) -> dict[str, Tensor]:
    """The state under our names.

    Raises:
        KeyError: a name that no rule knows.
    """
    return {rename(name, _RULES): value for name, value in state.items()}


DEMUCS = CheckpointFormat(
    network="DEMUCS",
    marks=("encoder.0.0.weight", "lstm.lstm.weight_hh_l0"),
    arguments=arguments,
    translate=translate,
    signature=_SIGNATURE,
    untold=("stride", "resample"),
    classes=("denoiser.demucs.Demucs",),
)
