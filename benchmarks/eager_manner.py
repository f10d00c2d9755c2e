"""MANNER's attention as one would write it first: im2col, a stored attention matrix, chunks moved one by one.

``eager`` gives a network's twin with the same weights and the same output, in which only the views over chunks differ:

* chunks are cut by ``unfold`` and put back by ``fold``;
* global attention stores softmax(q k' / 8), [B,C,P,P], and multiplies it with v;
* local attention moves every chunk into the batch, [B*P,C,64], and convolves it there.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.models.layers.multi_view import CHUNK, DEPTHWISE, GlobalAttention, LocalAttention, MultiViewAttention
from sordino.models.manner import Manner


def eager(network: Manner) -> Manner:
    """A twin of ``network`` with the same weights, in the plain formulation."""
    twin = copy.deepcopy(network)
    for block in twin.modules():
        if isinstance(block, MultiViewAttention):
            block.views = nn.ModuleList(_plain(view) for view in block.views)
    return twin


def unfold(x: Tensor) -> Tensor:
    """[B,C,N] -> [B,C,P,64], by im2col."""
    batch, channels, _ = x.shape
    columns = F.unfold(F.pad(x, (CHUNK, CHUNK)).unsqueeze(2), (1, CHUNK), stride=(1, CHUNK // 2))
    return columns.view(batch, channels, CHUNK, -1).transpose(2, 3)


def fold(chunks: Tensor, length: int) -> Tensor:
    """[B,C,P,64] -> [B,C,length], by col2im."""
    batch, channels, count, _ = chunks.shape
    columns = chunks.transpose(2, 3).reshape(batch, channels * CHUNK, count)
    summed = F.fold(columns, (1, length + 2 * CHUNK), (1, CHUNK), stride=(1, CHUNK // 2))
    return summed[:, :, 0, CHUNK : CHUNK + length] / 2


class EagerGlobal(GlobalAttention):
    """Self-attention across chunks with its matrix of weights stored."""

    def forward(self, x: Tensor) -> Tensor:
        chunks = unfold(x)
        query, key, value = self.query(chunks), self.key(chunks), self.value(chunks)
        weights = torch.softmax(query / CHUNK**0.5 @ key.transpose(-2, -1), dim=-1)
        return fold(self.out(weights @ value), x.shape[-1])


class EagerLocal(nn.Module):
    """A mask over each chunk, computed with the chunks in the place of the batch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        padding = DEPTHWISE // 2
        self.depthwise = nn.Sequential(
            nn.Conv1d(channels, channels, DEPTHWISE, padding=padding, groups=channels, bias=False),
            nn.BatchNorm1d(channels),
            nn.SiLU(),
        )
        self.mask = nn.Sequential(
            nn.Conv1d(2, 1, 7, padding=3, bias=False), nn.BatchNorm1d(1, momentum=0.01), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, length = x.shape
        chunks = unfold(x).permute(0, 2, 1, 3).reshape(-1, channels, CHUNK)
        features = self.depthwise(chunks)
        pooled = torch.cat([features.amax(dim=1, keepdim=True), features.mean(dim=1, keepdim=True)], dim=1)
        masked = (chunks * self.mask(pooled)).reshape(batch, -1, channels, CHUNK)
        return fold(masked.permute(0, 2, 1, 3), length)


def _plain(view: nn.Module) -> nn.Module:
    """The plain formulation of a view, filled with its weights; a view without chunks stays as it is."""
    if isinstance(view, GlobalAttention):
        plain: nn.Module = EagerGlobal()
        plain.load_state_dict(view.state_dict())
    elif isinstance(view, LocalAttention):
        state = view.state_dict()
        plain = EagerLocal(len(state["depthwise.0.weight"]))
        # Ours convolves chunks as the rows of an image, with kernels [.,.,1,k].
        plain.load_state_dict({name: value.squeeze(2) if value.ndim == 4 else value for name, value in state.items()})
    else:
        return view
    return plain.train(view.training)
