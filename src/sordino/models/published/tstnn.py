"""Published checkpoints of TSTNN: the state dict, alone or in a dict under ``state_dict`` or ``model``.

The rules below replace the authors' names by sordino's. Channels, frame and the number of transformers are inferred
from names and shapes. The number of heads does not show in the tensors; it is assumed to be four, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from sordino.models.published.checkpoint_format import CheckpointFormat, Rules, State, count_layers, renamed

_STAGES = {"row": "within", "col": "across"}
_DENSE = {"conv": "1", "norm": "2", "prelu": "3"}
"""Index of a module in a layer of a dense block; index 0 is the padding."""
_LAYER = {"self_attn": "attention", "norm1": "attention_norm", "gru": "gru", "linear2": "out", "norm2": "out_norm"}

_RULES: Rules = (
    (r"inp_conv\.", "embed.0."),
    (r"inp_norm\.", "embed.1."),
    (r"inp_prelu\.", "embed.2."),
    (
        r"(enc|dec)_dense1\.(conv|norm|prelu)(\d)\.",
        lambda m: f"{m[1]}oder.0.layers.{int(m[3]) - 1}.{_DENSE[m[2]]}.",
    ),
    (r"enc_conv1\.", "encoder.1.0."),
    (r"enc_norm1\.", "encoder.1.1."),
    (r"enc_prelu1\.", "encoder.1.2."),
    (r"dual_transformer\.input\.", "narrow."),
    (
        r"dual_transformer\.(row|col)_trans\.(\d+)\.(self_attn|norm1|gru|linear2|norm2)\.",
        lambda m: f"transformer.{m[2]}.{_STAGES[m[1]]}.layer.{_LAYER[m[3]]}.",
    ),
    (r"dual_transformer\.(row|col)_norm\.(\d+)\.", lambda m: f"transformer.{m[2]}.{_STAGES[m[1]]}.norm."),
    (r"dual_transformer\.output\.", "widen."),
    (r"output1\.0\.", "mask.tanh."),
    (r"output2\.0\.", "mask.sigmoid."),
    (r"maskconv\.", "mask.out."),
    (r"dec_conv1\.", "decoder.1.0."),
    (r"dec_norm1\.", "decoder.1.1."),
    (r"dec_prelu1\.", "decoder.1.2."),
    (r"out_conv\.", "out_conv."),
)


def arguments(state: State, stated: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of the network that the state belongs to; the files state no arguments."""
    blocks = count_layers(state, r"dual_transformer\.row_trans")
    channels, frame = state["inp_conv.weight"].shape[0], state["inp_norm.weight"].shape[0]
    return "tstnn", {"channels": channels, "blocks": blocks, "heads": 4, "frame": frame}


TSTNN = CheckpointFormat(
    "TSTNN", ("inp_conv.weight", "dual_transformer.input.0.weight"), arguments, partial(renamed, rules=_RULES)
)
