"""MANNER: multi-view attention network for noise erasure, in the time domain, not causal.

Park, Kang, Shin, Kim, Han: "MANNER: Multi-view Attention Network for Noise Erasure", ICASSP 2022, arXiv 2203.02181.
The small variants with few channels are the students of Shin et al., "Multi-View Attention Transfer for Efficient
Speech Enhancement", Interspeech 2022.

Claims, each asserted by a test: MANNER-B (hidden 60, depth 4) has 24.07 M parameters and 61.92 GFLOPs on 4 s as the
paper counts them; MANNER-S-1.5GF (hidden 12, depth 3) has 0.258 M and 1.46 GFLOPs; 5.3GF (24, 3) 0.902 M and 5.32;
8.1GF (30, 3) 1.381 M and 8.14; S-38GF (60, 4) 21.25 M and 38.34.

Interpretation where the paper is not explicit: every batch norm that directly follows a bias-free convolution inside
one of the paper's ``Conv`` units has momentum 0.01, all others PyTorch's 0.1.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sordino.models.base import Enhancer
from sordino.models.layers.depthwise import Depthwise
from sordino.models.layers.gate import GatedConv
from sordino.models.layers.multi_view import DEPTHWISE, VIEWS, MultiViewAttention, conv_norm
from sordino.models.layers.strided import DEEPEST, SCALE_FLOOR, Frames, deviation, frames_behind, rescale, valid_length
from sordino.types import Tap

KERNEL, STRIDE = 8, 4


class ResCon(nn.Module):
    """Residual conformer convolution block: [B,c_in,N] -> [B,c_out,N]."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(c_in, 2 * c_in, 1),
            nn.BatchNorm1d(2 * c_in),
            nn.GLU(dim=1),
            Depthwise(c_in, DEPTHWISE),
            nn.BatchNorm1d(c_in),
            nn.SiLU(),
            nn.Conv1d(c_in, c_out, 1),
            nn.BatchNorm1d(c_out),
            nn.SiLU(),
            conv_norm(c_out, c_out),
        )
        self.shortcut = conv_norm(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class EncoderLayer(nn.Module):
    """Encoder layer, [B,c,N] -> [B,2c,N']: strided convolution, ResCon and, optionally, multi-view attention."""

    def __init__(self, channels: int, attention: bool) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv1d(channels, channels, KERNEL, STRIDE), nn.BatchNorm1d(channels), nn.ReLU())
        self.conv = ResCon(channels, 2 * channels)
        self.attention = MultiViewAttention(2 * channels) if attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.conv(self.down(x)))


class DecoderLayer(nn.Module):
    """Decoder layer, [B,2c,N'] -> [B,c,N]: ResCon, transposed convolution and, optionally, multi-view attention."""

    def __init__(self, channels: int, attention: bool) -> None:
        super().__init__()
        self.conv = ResCon(2 * channels, channels)
        self.up = nn.Sequential(
            nn.ConvTranspose1d(channels, channels, KERNEL, STRIDE), nn.BatchNorm1d(channels), nn.ReLU()
        )
        self.attention = MultiViewAttention(channels) if attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.up(self.conv(x)))


class Manner(Enhancer):
    """MANNER of any width and depth.

    Taps, i = 1..depth with the deepest last: ``encoder.i``, ``decoder.i`` (the mirror of encoder i, so that
    ``decoder.depth`` runs first), ``latent`` (the linear layer between the two, before its ReLU), and where a layer has
    multi-view attention ``encoder.i.channel``, ``.global``, ``.local`` and the same of the decoder.

    Args:
        hidden: channels of the first layer; layer i has hidden * 2^(i-1).
        depth: number of encoder layers, each of which divides the length by 4.
        attention: ``every`` layer has multi-view attention (base), or only the ``deepest`` encoder layer and its
            mirror (small).

    Raises:
        ValueError: hidden below 2, depth not 1 to 32, a width too small for three views, or an unknown ``attention``.
    """

    last = "out_conv"

    def __init__(self, hidden: int = 60, depth: int = 4, attention: str = "every") -> None:
        super().__init__()
        if hidden < 2 or not 1 <= depth <= DEEPEST or attention not in ("every", "deepest"):
            raise ValueError(f"no MANNER with hidden={hidden}, depth={depth}, attention={attention!r}")
        layers = range(1, depth + 1)
        attended = [attention == "every" or layer == depth for layer in layers]
        widths = [hidden * 2 ** (layer - 1) for layer in layers]
        # A decoder layer's views have a third of its channels, and channel attention halves them once more: the
        # narrowest layer with attention needs 6.
        narrowest = widths[attended.index(True)]
        if narrowest < 6:
            raise ValueError(f"hidden={hidden} leaves fewer than 2 channels for each view; take at least 6")
        self.name = "manner-b" if attention == "every" else "manner-s"
        self.arguments = {"hidden": hidden, "depth": depth}
        self.in_conv = nn.Sequential(nn.Conv1d(1, hidden, 3, padding=1), nn.BatchNorm1d(hidden), nn.ReLU())
        self.encoder = nn.ModuleList(EncoderLayer(c, a) for c, a in zip(widths, attended, strict=True))
        self.latent = nn.Linear(2 * widths[-1], 2 * widths[-1], bias=False)
        self.decoder = nn.ModuleList(DecoderLayer(c, a) for c, a in zip(widths[::-1], attended[::-1], strict=True))
        self.mask = GatedConv(hidden)
        self.out_conv = nn.Conv1d(hidden, 1, 3, padding=1)
        self.apply(rescale)

    @property
    def depth(self) -> int:
        return len(self.encoder)

    @property
    def taps(self) -> dict[str, Tap]:
        places = [frames_behind(layers, KERNEL, STRIDE) for layers in range(self.depth + 1)]
        taps = {"latent": Tap("latent", "BNC", **places[-1])}
        for layer in range(1, self.depth + 1):
            taps |= self._layer_taps(f"encoder.{layer}", f"encoder.{layer - 1}", places[layer])
            taps |= self._layer_taps(f"decoder.{layer}", f"decoder.{self.depth - layer}", places[layer - 1])
        return taps

    def _layer_taps(self, name: str, path: str, place: Frames) -> dict[str, Tap]:
        """Return the taps of the layer at the module path ``path``: its output and, if it has attention, the views."""
        taps = {name: Tap(path, **place)}
        if isinstance(self.get_submodule(path).attention, MultiViewAttention):
            for index, view in enumerate(VIEWS):
                taps[f"{name}.{view}"] = Tap(f"{path}.attention.views.{index}", **place)
        return taps

    def forward(self, noisy: Tensor) -> Tensor:
        length = noisy.shape[-1]
        scale = deviation(noisy)
        padding = valid_length(length, KERNEL, STRIDE, self.depth) - length
        x = F.pad(noisy / (SCALE_FLOOR + scale), (0, padding))
        expanded = x = self.in_conv(x.unsqueeze(1))
        skips = []
        for layer in self.encoder:
            x = layer(x)
            skips.append(x)
        x = F.relu(self.latent(x.transpose(1, 2))).transpose(1, 2)
        for layer in self.decoder:
            x = layer(x + skips.pop()[..., : x.shape[-1]])
        estimate = self.out_conv(expanded * self.mask(x)).squeeze(1)
        return estimate[..., :length] * scale


def manner_base(hidden: int = 60, depth: int = 4) -> Manner:
    """Build MANNER-B: multi-view attention in every layer."""
    return Manner(hidden, depth, "every")


def manner_small(hidden: int = 60, depth: int = 4) -> Manner:
    """Build MANNER-S: multi-view attention in the deepest layer only."""
    return Manner(hidden, depth, "deepest")


def manner_large(hidden: int = 120, depth: int = 4) -> Manner:
    """Build MANNER-L: the base network with twice the channels."""
    return Manner(hidden, depth, "every")
