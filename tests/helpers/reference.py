"""How the reference figures of the networks in ``data`` were made: the weights that filled them, and their input.

The figures come from the authors' public implementations. Nobody can copy trained weights into a repository as text,
so the weights are a formula of their place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def state(keys: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """A state of tensors with these names and shapes, filled by the formula."""
    filled = {}
    for j, name in enumerate(sorted(keys)):
        shape = keys[name]
        k = torch.arange(math.prod(shape), dtype=torch.float64)
        u = 43758.5453 * torch.sin(12.9898 * (j + 1) + 78.233 * (k + 1))
        s = (2 * (u - u.floor()) - 1).reshape(*shape)
        if name.endswith("running_var"):
            value = 1 + 0.5 * s
        elif name.endswith("running_mean"):
            value = 0.1 * s
        elif len(shape) == 1:
            value = 1 + 0.2 * s if name.endswith("weight") else 0.05 * s
        else:
            value = s * math.sqrt(3 / math.prod(shape[1:]))
        filled[name] = value.float()
    return filled


def waves() -> Tensor:
    """The input [2,16000]: a tone, a throbbing one and a chirp, forwards and backwards."""
    t = torch.arange(16000, dtype=torch.float64) / 16000
    tau = 2 * math.pi
    x = 0.3 * torch.sin(tau * 220 * t) + 0.2 * torch.sin(tau * 1333 * t + 0.5) * torch.sin(tau * 3 * t)
    x = (x + 0.05 * torch.sin(tau * 5100 * t * (1 + 0.1 * t))).float()
    return torch.stack([x, x.flip(0)])
