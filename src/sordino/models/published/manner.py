"""Published checkpoints of MANNER: the state dict, alone or in a dict under ``state_dict``.

The tensors have the names of the authors' modules; the rules below replace them by sordino's. The arguments are
inferred from names and shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sordino.models.published.checkpoint_format import CheckpointFormat, Rules, State, count_layers, rename

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
    """Return the name and the arguments of the network that the state belongs to; the files state no arguments."""
    depth = count_layers(state, r"manner_block\.encoder")
    with_attention = count_layers(state, r"manner_block\.encoder", r"\.attn_block")
    # A network of depth 1 is both base and small; it is called base.
    name = "manner-b" if with_attention == depth else "manner-s"
    return name, {"hidden": state["manner_block.in_conv.0.weight"].shape[0], "depth": depth}


def translate(state: State) -> dict[str, Tensor]:
    """Return the state under sordino's names.

    Raises:
        KeyError: a name that no rule matches.
    """
    translated = {}
    for name, value in state.items():
        name = name.removeprefix("manner_block.")
        layer = re.match(r"(encoder|decoder)\.\d+\.", name)
        prefix, rules = (layer[0], _BLOCK) if layer else ("", _ENDS)
        new_name = prefix + rename(name[len(prefix) :], rules)
        if value.ndim == 3 and ".views.2." in new_name:
            value = value.unsqueeze(2)  # sordino's local attention has 2-d convolutions, with an axis of chunks
        translated[new_name] = value
    return translated


MANNER = CheckpointFormat("MANNER", ("manner_block.in_conv.0.weight",), arguments, translate)
