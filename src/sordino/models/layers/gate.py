"""Gated convolution, which computes the mask in MANNER and TSTNN: one convolution's tanh times another's sigmoid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GatedConv(nn.Module):
    """Compute ReLU(conv(tanh(conv x) * sigmoid(conv x))), all convolutions 1x1; the shape is kept.

    Args:
        channels: channels of input and output.
        convolution: ``nn.Conv1d`` for [B,C,N], ``nn.Conv2d`` for [B,C,N,F].
    """

    def __init__(self, channels: int, convolution: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv1d) -> None:
        super().__init__()
        self.tanh = convolution(channels, channels, 1)
        self.sigmoid = convolution(channels, channels, 1)
        self.out = convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.out(torch.tanh(self.tanh(x)) * torch.sigmoid(self.sigmoid(x))))
