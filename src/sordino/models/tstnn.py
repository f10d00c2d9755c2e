"""TSTNN: two-stage transformer network, in the time domain, not causal.

Wang, He, Zhu: "TSTNN: Two-stage Transformer based Neural Network for Speech Enhancement in the Time Domain", ICASSP
2021, arXiv 2103.09963. The waveform is cut into frames, an image of frames x samples of a frame. Convolutions run over
both axes, each transformer first along the samples (halved by the encoder), then along the frames.

Claims, each asserted by a test: 924,771 parameters; on 4 s 145.3 GFLOPs as the MV-AT paper counts its other networks,
163.3 in products of every kind, 166.6 with every operation (that paper prints 166.54).

The network begins with a layer norm over each frame, with two consequences. Loud and faint frames differ by the norm's
epsilon only, so the estimate does not scale with its input; and silence does not stay silent.

Frames: the last one is padded with zeros, so that T samples make N = ceil((T - 512) / 256) + 1 frames, at least one
(4 s make 249 without padding), and the estimate is cut to T samples. The authors' code returns the N frames whole,
(N + 1) 256 samples.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.models.base import Enhancer
from sordino.models.layers.gate import GatedConv
from sordino.models.layers.onnx_ops import Gru
from sordino.types import Tap

DENSE = 4
"""Layers of a dense block; layer i = 0..3 reads back 2^i frames."""


def norm_act(channels: int, size: int) -> tuple[nn.Module, nn.Module]:
    """Build the layers after a convolution: layer norm over the ``size`` values of a frame in one channel, PReLU."""
    return nn.LayerNorm(size), nn.PReLU(channels)


class DenseBlock(nn.Module):
    """Dilated convolutions, each of which reads the outputs of all before it: [B,C,N,F] -> [B,C,N,F].

    They read earlier frames only; later frames reach the network through its transformers.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.ZeroPad2d((1, 1, 2**i, 0)),
                nn.Conv2d(channels * (i + 1), channels, (2, 3), dilation=(2**i, 1)),
                *norm_act(channels, size),
            )
            for i in range(DENSE)
        )

    def forward(self, x: Tensor) -> Tensor:
        *dense, last = self.layers
        for layer in dense:
            x = torch.cat([layer(x), x], dim=1)
        return last(x)


class SubPixel(nn.Module):
    """Double the samples per frame: [B,C,N,F] -> [B,C,N,2F]; channel rC + c of the convolution gives samples 2f + r."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * channels, (1, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack(self.conv(x).chunk(2, dim=1), dim=-1).flatten(-2)


class TransformerLayer(nn.Module):
    """Self-attention, then a bidirectional GRU in place of the feed-forward part: [N,B,C] -> [N,B,C].

    There is no position code: the GRU replaces it. The N x N attention weights are never stored.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, heads)
        self.attention_norm = nn.LayerNorm(channels)
        self.gru = Gru(channels, 2 * channels, bidirectional=True)
        self.out = nn.Linear(4 * channels, channels)
        self.out_norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention_norm(x + self.attention(x, x, x, need_weights=False)[0])
        return self.out_norm(x + self.out(F.relu(self.gru(x)[0])))


class TransformerStage(nn.Module):
    """Compute x + norm(transformer along the last axis of x), [B,C,N,F] -> [B,C,N,F]; the norm is over a whole item."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.layer = TransformerLayer(channels, heads)
        self.norm = nn.GroupNorm(1, channels, eps=1e-8)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(3, 0, 2, 1)
        y = self.layer(rows.flatten(1, 2)).view(rows.shape)
        return x + self.norm(y.permute(1, 3, 2, 0))


class TwoStage(nn.Module):
    """Two stages: local, along the samples of each frame, then global, along the frames: [B,C,N,F] -> [B,C,N,F]."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.within = TransformerStage(channels, heads)
        self.across = TransformerStage(channels, heads)

    def forward(self, x: Tensor) -> Tensor:
        return self.across(self.within(x).transpose(2, 3)).transpose(2, 3)


class Tstnn(Enhancer):
    """TSTNN of any width; the defaults are those of the paper.

    Taps, all [B,C,N,F] with N frames of F samples: ``encoder.1`` and ``decoder.1`` (F = frame), ``encoder.2`` and
    ``decoder.2`` (F = frame / 2, ``decoder.2`` runs first), ``transformer.1`` to ``transformer.blocks`` of half the
    channels, and ``latent``, which is the last of them.

    Args:
        channels: channels of the convolutions; the transformers have half as many.
        blocks: number of two-stage transformers.
        heads: number of attention heads.
        frame: samples of a frame; the hop is half of it.

    Raises:
        ValueError: a number below 1, an odd ``frame`` or ``channels``, or ``heads`` that do not divide channels / 2.
    """

    keeps_silence: bool = False
    last = "out_conv"

    def __init__(self, channels: int = 64, blocks: int = 4, heads: int = 4, frame: int = 512) -> None:
        super().__init__()
        if min(channels, blocks, heads, frame) < 1 or channels % 2 or frame % 2 or channels // 2 % heads:
            raise ValueError(f"no TSTNN with channels={channels}, blocks={blocks}, heads={heads}, frame={frame}")
        self.name, self.frame = "tstnn", frame
        self.arguments = {"channels": channels, "blocks": blocks, "heads": heads, "frame": frame}
        half = frame // 2
        self.embed = nn.Sequential(nn.Conv2d(1, channels, 1), *norm_act(channels, frame))
        down = nn.Conv2d(channels, channels, (1, 3), (1, 2), padding=(0, 1))
        self.encoder = nn.Sequential(DenseBlock(channels, frame), nn.Sequential(down, *norm_act(channels, half)))
        self.narrow = nn.Sequential(nn.Conv2d(channels, channels // 2, 1), nn.PReLU())
        self.transformer = nn.Sequential(*(TwoStage(channels // 2, heads) for _ in range(blocks)))
        self.widen = nn.Sequential(nn.PReLU(), nn.Conv2d(channels // 2, channels, 1))
        self.mask = GatedConv(channels, nn.Conv2d)
        up = nn.Sequential(SubPixel(channels), *norm_act(channels, frame))
        self.decoder = nn.Sequential(DenseBlock(channels, half), up)
        self.out_conv = nn.Conv2d(channels, 1, 1)

    @property
    def taps(self) -> dict[str, Tap]:
        blocks = len(self.transformer)
        places = {"encoder.1": "encoder.0", "encoder.2": "encoder.1"}
        places |= {f"transformer.{block + 1}": f"transformer.{block}" for block in range(blocks)}
        places |= {"decoder.2": "decoder.0", "decoder.1": "decoder.1"}
        places["latent"] = f"transformer.{blocks - 1}"
        centre = (self.frame - 1) / 2
        return {name: Tap(path, "BCNF", stride=self.frame // 2, offset=centre) for name, path in places.items()}

    def forward(self, noisy: Tensor) -> Tensor:
        encoded = self.encoder(self.embed(frames(noisy, self.frame).unsqueeze(1)))
        mask = self.mask(self.widen(self.transformer(self.narrow(encoded))))
        estimate = self.out_conv(self.decoder(encoded * mask)).squeeze(1)
        return overlap_mean(estimate)[:, : noisy.shape[-1]]


def frames(wave: Tensor, size: int) -> Tensor:
    """Cut [B,T] into frames [B,N,size] with a hop of half a frame, the last one padded with zeros.

    The signal is cut into halves of a frame; frame n is halves n and n + 1 joined.
    """
    half = size // 2
    further = (wave.shape[-1] - 1) // half - 1  # frames after the first
    # Python's max would fix the length of an exported graph to that of the example.
    halves = cast(int, torch.sym_max(further, 0)) + 2
    wave = F.pad(wave, (0, halves * half - wave.shape[-1])).view(-1, halves, half)
    return torch.cat([wave[:, :-1], wave[:, 1:]], dim=-1)


def overlap_mean(frames: Tensor) -> Tensor:
    """Join frames [B,N,size] to [B,(N + 1) size / 2]; a sample is the mean of the one or two frames that hold it."""
    left, right = frames.chunk(2, dim=-1)
    middle = 0.5 * (left[:, 1:] + right[:, :-1])
    return torch.cat([left[:, :1], middle, right[:, -1:]], dim=1).flatten(1)
