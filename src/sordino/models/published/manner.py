"""MANNER as its authors publish it: a dict with ``state_dict``, or the state itself.

A published file names its tensors as its authors named their modules; the rules below rewrite the names. The
arguments are read off the names and shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sordino.models.published.checkpoint_format import CheckpointFormat, Rules, State, rename

_CONV_NORM = {"conv": "0", "bn": "1"}

_BLOCK: Rules = (
    (r"down_conv\.", "down."),
    (r"up_conv\.", "up."),
    (r"conv_block\.point_conv1\.0\.conv\.", "conv.body.0."),
    (r"conv_block\.point_conv1\.1\.", "conv.body.1."),
    (r"conv_block\.depth_conv\.0\.conv\.", "conv.body.3."),
    (r"conv_block\.depth_conv\.1\.", "conv.body.4."),
    (r"conv_block\.point_conv2\.0\.conv\.", "conv.body.6."),
    (r"conv_block\.point_conv2\.1\.", "conv.body.7."),
    (r"conv_block\.conv\.(conv|bn)\.", lambda m: f"conv.body.9.{_CONV_NORM[m[1]]}."),
    (r"conv_block\.shortcut\.(conv|bn)\.", lambda m: f"conv.shortcut.{_CONV_NORM[m[1]]}."),
    (r"attn_block\.in_branch(\d)\.(conv|bn)\.", lambda m: f"attention.narrow.{m[1]}.0.{_CONV_NORM[m[2]]}."),
    (r"attn_block\.out_branch(\d)\.(conv|bn)\.", lambda m: f"attention.smooth.{m[1]}.0.{_CONV_NORM[m[2]]}."),
    (r"attn_block\.channel_attn\.fc\.", "attention.views.0.fc."),
    (r"attn_block\.global_attn\.w_qs\.", "attention.views.1.query."),
    (r"attn_block\.global_attn\.w_ks\.", "attention.views.1.key."),
    (r"attn_block\.global_attn\.w_vs\.", "attention.views.1.value."),
    (r"attn_block\.global_attn\.fc\.", "attention.views.1.out."),
    (r"attn_block\.local_attn\.depth_conv\.0\.conv\.", "attention.views.2.depthwise.0."),
    (r"attn_block\.local_attn\.depth_conv\.1\.", "attention.views.2.depthwise.1."),
    (r"attn_block\.local_attn\.conv\.(conv|bn)\.", lambda m: f"attention.views.2.mask.{_CONV_NORM[m[1]]}."),
    (r"attn_block\.conv\.(conv|bn)\.", lambda m: f"attention.fuse.{_CONV_NORM[m[1]]}."),
    (r"attn_block\.output_tanh\.0\.", "attention.gate.tanh."),
    (r"attn_block\.output_sigmoid\.0\.", "attention.gate.sigmoid."),
    (r"attn_block\.gate_conv\.0\.", "attention.gate.out."),
    (r"attn_block\.shortcut\.(conv|bn)\.", lambda m: f"attention.shortcut.{_CONV_NORM[m[1]]}."),
)
_ENDS: Rules = (
    (r"in_conv\.", "in_conv."),
    (r"linear\.0\.", "latent."),
    (r"mask_gate\.output\.0\.", "mask.tanh."),
    (r"mask_gate\.output_gate\.0\.", "mask.sigmoid."),
    (r"mask_gate\.mask\.0\.", "mask.out."),
    (r"out_conv\.0\.", "out_conv."),
)


def arguments(state: State, stated: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of the network that the state belongs to; its files state none."""
    layers = {match[1] for name in state if (match := re.match(r"manner_block\.encoder\.(\d+)\.", name))}
    attended = {match[1] for name in state if (match := re.match(r"manner_block\.encoder\.(\d+)\.attn_block\.", name))}
    # A network of depth 1 is base and small at once; base then.
    name = "manner-b" if attended == layers else "manner-s"
    return name, {"hidden": state["manner_block.in_conv.0.weight"].shape[0], "depth": len(layers)}


def translate(state: State) -> dict[str, Tensor]:
    """The state under our names; the convolutions over chunks gain the axis of chunks.

    Raises:
        KeyError: a name that no rule knows.
    """
    translated = {}
    for name, value in state.items():
        name = name.removeprefix("manner_block.")
        layer = re.match(r"(encoder|decoder)\.\d+\.", name)
        prefix, rules = (layer[0], _BLOCK) if layer else ("", _ENDS)
        ours = prefix + rename(name[len(prefix) :], rules)
        translated[ours] = value.unsqueeze(2) if value.ndim == 3 and ".views.2." in ours else value
    return translated


MANNER = CheckpointFormat("MANNER", ("manner_block.in_conv.0.weight",), arguments, translate)
