"""Multi-view attention of MANNER (Park et al., ICASSP 2022): over channels, over chunks, and within chunks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sordino.models.layers.chunks import ChunkConv, chunk, overlap_add
from sordino.models.layers.gate import GatedConv
from sordino.models.layers.onnx_ops import attend

CHUNK = 64
DEPTHWISE = 31
"""Length of the kernels of depthwise convolutions, here and in the residual blocks."""
VIEWS = ("channel", "global", "local")
"""The branches, in the order in which they are concatenated."""


def conv_norm(c_in: int, c_out: int, kernel: int = 1) -> nn.Sequential:
    """Build a convolution without bias, followed by batch norm with a momentum of 0.01; it preserves the length."""
    return nn.Sequential(
        nn.Conv1d(c_in, c_out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm1d(c_out, momentum=0.01)
    )


class ChannelAttention(nn.Module):
    """Scale each channel by a weight computed from the channels' maxima and means over time: [B,C,N] -> [B,C,N]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = channels // 2
        self.fc = nn.Sequential(nn.Linear(channels, squeezed), nn.ReLU(), nn.Linear(squeezed, channels))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.sigmoid(self.fc(x.amax(dim=-1)) + self.fc(x.mean(dim=-1)))
        return x * weight.unsqueeze(-1)


class GlobalAttention(nn.Module):
    """Self-attention over chunks with one head, separate for each channel: [B,C,N] -> [B,C,N].

    It has no residual connection and no position code. The P x P matrix of attention weights is never stored: with P =
    2,000 chunks for 4 s in the base model it would take 16 MB per row, and memory would grow with the square of the
    duration.
    """

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(CHUNK, CHUNK, bias=False)
        self.key = nn.Linear(CHUNK, CHUNK, bias=False)
        self.value = nn.Linear(CHUNK, CHUNK, bias=False)
        self.out = nn.Linear(CHUNK, CHUNK, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        chunks = chunk(x, CHUNK)
        attended = attend(self.query(chunks), self.key(chunks), self.value(chunks))
        return overlap_add(self.out(attended), x.shape[-1])


class LocalAttention(nn.Module):
    """Sigmoid mask over the samples of each chunk, from a depthwise convolution within the chunk: [B,C,N] -> [B,C,N].

    The convolutions have kernels (1, k) over chunks as the rows of an image, so that no chunk is copied.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Sequential(
            ChunkConv(channels, DEPTHWISE),
            nn.BatchNorm2d(channels),
            nn.SiLU(),
        )
        self.mask = nn.Sequential(
            nn.Conv2d(2, 1, (1, 7), padding=(0, 3), bias=False), nn.BatchNorm2d(1, momentum=0.01), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        chunks = chunk(x, CHUNK)
        features = self.depthwise(chunks)
        pooled = torch.cat([features.amax(dim=1, keepdim=True), features.mean(dim=1, keepdim=True)], dim=1)
        return overlap_add(chunks * self.mask(pooled), x.shape[-1])


class MultiViewAttention(nn.Module):
    """Channel, global and local attention in parallel, fused by a gate: [B,C,N] -> [B,C,N].

    The three views that MV-AT reads are the outputs of ``views``, in the order of ``VIEWS``, each [B,C//3,N].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // 3
        self.narrow = nn.ModuleList(nn.Sequential(conv_norm(channels, width), nn.ReLU()) for _ in VIEWS)
        self.views = nn.ModuleList([ChannelAttention(width), GlobalAttention(), LocalAttention(width)])
        self.smooth = nn.ModuleList(nn.Sequential(conv_norm(width, width, 3), nn.ReLU()) for _ in VIEWS)
        self.fuse = conv_norm(3 * width, channels)
        self.gate = GatedConv(channels)
        self.shortcut = conv_norm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        branches = []
        for narrow, view, smooth in zip(self.narrow, self.views, self.smooth, strict=True):
            branches.append(smooth(view(narrow(x))))
        return self.shortcut(x) + self.gate(self.fuse(torch.cat(branches, dim=1)))
