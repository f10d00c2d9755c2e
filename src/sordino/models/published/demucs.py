"""Published checkpoints of DEMUCS: the state dict, alone or in a package with ``class``, ``args`` and ``kwargs``.

Width, kernel and growth are inferred from the shapes of the tensors, depth from their number, and a network that is not
causal from the linear layer after the LSTM. Stride and resampling do not show in the tensors: they are taken from the
package, and otherwise assumed to be 4 and 4, as in the authors' released networks, with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from sordino.models.published.checkpoint_format import CheckpointFormat, Rules, State, count_layers, renamed

_RULES: Rules = (
    (r"encoder\.(\d+)\.0\.", r"encoder.\1.down."),
    (r"encoder\.(\d+)\.2\.", r"encoder.\1.mix."),
    (r"decoder\.(\d+)\.0\.", r"decoder.\1.mix."),
    (r"decoder\.(\d+)\.2\.", r"decoder.\1.up."),
    (r"lstm\.(lstm|linear)\.", r"latent.\1."),
)
_PARAMETERS = {
    "hidden": "hidden",
    "depth": "depth",
    "kernel_size": "kernel",
    "stride": "stride",
    "resample": "resample",
    "growth": "growth",
    "causal": "causal",
}
"""The authors' name of a parameter -> sordino's."""
_FIXED = {"chin": 1, "chout": 1, "normalize": True, "glu": True, "floor": 1e-3, "sample_rate": 16000}
"""Parameters that sordino's network does not have, and the value that it implements."""
_IGNORED = ("rescale", "max_hidden")
"""Parameters that are not needed: of the initial weights, and of the widths, which the shapes show."""
_SIGNATURE = (
    *("chin", "chout", "hidden", "depth", "kernel_size", "stride", "causal", "resample", "growth", "max_hidden"),
    *("normalize", "glu", "rescale", "floor", "sample_rate"),
)


def arguments(state: State, stated: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of the network that the state belongs to.

    Raises:
        ValueError: a stated argument is unknown, has a value that sordino's network does not support, or contradicts
            the tensors.
    """
    for name, value in stated.items():
        if name not in (*_PARAMETERS, *_FIXED, *_IGNORED):
            raise ValueError(f"an unknown argument, {name}={value!r}")
        # A tensor is compared value by value.
        if name in _FIXED and not (isinstance(value, int | float) and value == _FIXED[name]):
            raise ValueError(f"{name}={value!r}, where only {_FIXED[name]!r} can be built")
    hidden, _, kernel = state["encoder.0.0.weight"].shape
    depth = count_layers(state, "encoder")
    inferred = {
        "hidden": hidden,
        "depth": depth,
        "kernel": kernel,
        "causal": "lstm.linear.weight" not in state,
    }
    if depth > 1:
        # The LSTM is as wide as the deepest layer: hidden growth^(depth - 1).
        deepest = state["lstm.lstm.weight_hh_l0"].shape[-1]
        inferred["growth"] = round((deepest / hidden) ** (1 / (depth - 1)))
    arguments: dict[str, Any] = {"stride": 4, "resample": 4, "growth": 2}
    for key, name in _PARAMETERS.items():
        if key not in stated:
            continue
        arguments[name] = stated[key]
        if not isinstance(stated[key], int):
            raise ValueError(f"{key} is a {type(stated[key]).__name__}")
        if name in inferred and stated[key] != inferred[name]:
            raise ValueError(f"{key}={stated[key]!r} beside tensors of a network with {key}={inferred[name]!r}")
    return "demucs", arguments | inferred


DEMUCS = CheckpointFormat(
    network="DEMUCS",
    marker_tensors=("encoder.0.0.weight", "lstm.lstm.weight_hh_l0"),
    arguments=arguments,
    translate=partial(renamed, rules=_RULES),
    signature=_SIGNATURE,
    not_in_tensors=("stride", "resample"),
    classes=("denoiser.demucs.Demucs",),
)
