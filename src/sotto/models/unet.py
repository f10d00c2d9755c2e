"""A causal U-Net on the compressed spectrum: the low-resource student that streams.

Ours: the papers on ABC-KD (Wan et al., Interspeech 2023) and on latent alignment (Luong et al., AES 2025) distil small
U-Nets in the time-frequency domain and give no list of layers. The parts are the field's: a spectrum compressed by
|X|^0.3, depthwise-separable convolutions that see the past alone, a grouped recurrent bottleneck, additive skips and
a bounded complex mask.

Claims, each asserted by a test: the student (width 24) has 0.044 M parameters and 37 M multiply-accumulates per
second; the teacher (width 160) 1.77 M and 1.07 G. Both look 20 ms ahead and no further: a window of 320 samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sotto.models.base import State, StreamingEnhancer
from sotto.models.bottleneck import LinearBottleneck
from sotto.models.channels_last import Pointwise, channels_last, on_cpu
from sotto.models.fourier import RealFourier, masked
from sotto.models.norm_prelu import NormPRelu
from sotto.models.operators import Gru
from sotto.models.scan import scan
from sotto.types import Tap

WINDOW, HOP = 320, 160
BINS = WINDOW // 2 + 1
COMPRESSION = 0.3
POWER_FLOOR = 1e-8
"""|X|^2 from which compression sets in: 80 dB below a window at full scale, so that silence stays silent."""
MASK_BOUND = 2.0
"""Largest real and imaginary part of the mask."""


class CausalConv(nn.Module):
    """Convolution over two frames, this one and the one before: [B,c_in,N,F] -> [B,c_out,N,F'].

    ``past`` is the last frame of the block before, [B,c_in,1,F]; silence has zeros there, which is causal padding.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, (2, 3), (1, stride), (0, 1), groups=groups, bias=False)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(torch.cat([channels_last(past), x], dim=2)), x[:, :, -1:]

    def interleaved(self, x: Tensor, past: Tensor) -> Tensor:
        """The same for a convolution whose output channels are even and odd frequencies in turn: [B,c_out/2,N,2F].

        With c_in groups, ``x`` has every channel twice: one depthwise convolution from 2 c_in channels to as many
        takes a fast kernel, one from c_in channels does not. Channels that lie side by side in memory, all even ones
        before all odd ones, ARE the interleaved frequencies.
        """
        conv = self.conv
        weight, bias = (
            None if one is None else one.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1)
            for one in (conv.weight, conv.bias)
        )
        x = torch.cat([channels_last(past), x], dim=2)
        groups = 1 if conv.groups == 1 else conv.out_channels
        x = F.conv2d(x, cast(Tensor, weight), bias, conv.stride, conv.padding, groups=groups)
        return x.movedim(1, -1).unflatten(-1, (2, -1)).flatten(2, 3).movedim(-1, 1)


class Down(nn.Module):
    """Encoder layer: half the frequencies. The first mixes its few input channels in full, the others separably."""

    def __init__(self, c_in: int, c_out: int, first: bool) -> None:
        super().__init__()
        self.conv = CausalConv(c_in, c_out if first else c_in, stride=2, groups=1 if first else c_in)
        self.mix = nn.Identity() if first else Pointwise(c_in, c_out, bias=False)
        self.out = NormPRelu(c_out)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        x, past = self.conv(x, past)
        return self.out(self.mix(x)), past


class Up(nn.Module):
    """Decoder layer: twice the frequencies less one, even and odd ones side by side as channels until they interleave.

    The last mixes in full, as the mask has two channels only, and has no normalisation. An exported graph normalises
    before it interleaves, which is the same and lets the convolution take the norm in.
    """

    def __init__(self, c_in: int, c_out: int, last: bool) -> None:
        super().__init__()
        self.mix = nn.Identity() if last else Pointwise(c_in, c_out, bias=False)
        self.conv = CausalConv(c_in if last else c_out, 2 * c_out, groups=1 if last else c_out)
        self.out = nn.Identity() if last else NormPRelu(c_out)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        if not on_cpu(x):
            return self._plain(x, past)
        if isinstance(self.mix, Pointwise):
            x, past = self.mix(x, copies=2), past.repeat(1, 2, 1, 1)
        wide = self.conv.interleaved(x, past)
        frequencies = wide.shape[-1] - 1
        y = self.out(wide, frequencies) if isinstance(self.out, NormPRelu) else self.out(wide[..., :frequencies])
        return y, x[:, : self.conv.conv.in_channels, -1:]

    def _plain(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        x, past = self.conv(self.mix(x), past)
        out = self.out
        if torch.compiler.is_exporting() and isinstance(out, nn.Sequential):
            norm, out = cast(nn.BatchNorm2d, out[0]), out[1]
            values = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            mean, variance, weight, bias = (cast(Tensor, value).repeat_interleave(2) for value in values)
            x = F.batch_norm(x, mean, variance, weight, bias, eps=norm.eps)
        even_odd = x.unflatten(1, (-1, 2)).movedim(2, -1)
        return out(even_odd.flatten(-2)[..., :-1]), past


class GroupedGru(nn.Module):
    """A recurrent layer in groups: each reads all frequencies of its share of the channels, [B,C,N,F] -> [B,C,N,F].

    A 1x1 convolution lets the groups hear each other, and the input is added.
    """

    def __init__(self, channels: int, bins: int, groups: int) -> None:
        super().__init__()
        self.size = channels // groups * bins
        self.grus = nn.ModuleList(Gru(self.size, self.size, batch_first=True) for _ in range(groups))
        self.mix = Pointwise(channels, channels)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """``hidden`` [B,groups,size] is the memory of the block before; returns it anew beside the output."""
        folded = x.transpose(1, 2).flatten(2)
        if on_cpu(x):
            outputs, memory = scan(cast("list[Gru]", list(self.grus)), folded, hidden)
        else:
            outputs, memory = self._in_turn(folded, hidden)
        unfolded = outputs.unflatten(-1, (x.shape[1], x.shape[3])).transpose(1, 2)
        return x + self.mix(unfolded), memory

    def _in_turn(self, folded: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One unit after the other, each in one call: cuDNN's, or an operator of the exported graph."""
        parts = zip(self.grus, folded.split(self.size, dim=-1), hidden.split(1, dim=1), strict=True)
        outputs, memories = zip(
            *(gru(part, memory.transpose(0, 1).contiguous()) for gru, part, memory in parts), strict=True
        )
        return torch.cat(outputs, dim=-1), torch.cat(memories).transpose(0, 1)


class UNet(StreamingEnhancer):
    """The causal U-Net.

    Args:
        width: channels of every layer; 24 is the student, 160 the teacher.
        depth: encoder layers, each of which halves the 161 frequencies.
        groups: of the recurrent bottleneck; divides ``width``.
        bottleneck: expansion of a linear inverted bottleneck between the encoder and the recurrent layers; 0 is none.

    Raises:
        ValueError: arguments out of range.
    """

    hop, delay = HOP, WINDOW - HOP

    def __init__(self, width: int = 24, depth: int = 5, groups: int = 4, bottleneck: int = 0) -> None:
        super().__init__()
        if groups < 1 or width < groups or width % groups:
            raise ValueError(f"width is a multiple of groups, not width={width}, groups={groups}")
        if not 1 <= depth <= 5:  # 161 bins halve to 81, 41, 21, 11 and 6, and 6 do not come back from 3
            raise ValueError(f"depth is 1 to 5, not {depth}")
        self.name = "unet"
        self.arguments = {"width": width, "depth": depth, "groups": groups, "bottleneck": bottleneck}
        self.last = f"decoder.{depth - 1}.conv"
        self.bins = [BINS]
        for _ in range(depth):
            self.bins.append((self.bins[-1] + 1) // 2)
        channels = [3, *[width] * depth]
        self.encoder = nn.ModuleList(Down(a, b, first=a == 3) for a, b in pairwise(channels))
        self.latent = LinearBottleneck(width, width, bottleneck) if bottleneck else nn.Identity()
        self.bottleneck = GroupedGru(width, self.bins[-1], groups)
        self.skips = nn.ModuleList(Pointwise(width, width) for _ in range(depth))
        self.decoder = nn.ModuleList(
            Up(width, width if layer else 2, last=layer == 0) for layer in reversed(range(depth))
        )
        self.fourier = RealFourier(WINDOW)
        self.register_buffer("window", torch.hann_window(WINDOW).sqrt(), persistent=False)
        self.window: Tensor

    @property
    def taps(self) -> dict[str, Tap]:
        """``encoder.i`` and its mirror ``decoder.i``, i from 1, and ``latent``, the deepest encoder layer's output.

        A network with a linear bottleneck also shows what comes out of that, ``latent.bottleneck``.
        """
        depth = len(self.encoder)
        # The first window begins ``delay`` samples before the signal.
        centre = (len(self.window) - 1) / 2 - self.delay
        places = {f"encoder.{i + 1}": f"encoder.{i}.out" for i in range(depth)}
        places |= {f"decoder.{i + 1}": f"decoder.{depth - 1 - i}.out" for i in range(depth)}
        places["latent"] = places[f"encoder.{depth}"]
        if self.arguments["bottleneck"]:
            places["latent.bottleneck"] = "latent"
        return {name: Tap(path, "BCNF", stride=self.hop, offset=centre) for name, path in places.items()}

    def forward(self, noisy: Tensor) -> Tensor:
        """Enhance ``noisy`` [B,T]; returns [B,T]. It is one step over the whole signal, and silence behind it."""
        length = noisy.shape[-1]
        whole = (length + self.delay + self.hop - 1) // self.hop * self.hop
        estimate, _ = self.step(F.pad(noisy, (0, whole - length)), self.initial_state(noisy.shape[0]))
        return estimate[:, self.delay : self.delay + length]

    def initial_state(self, batch: int = 1) -> State:
        """Input and output half a window ago, a frame before each convolution, the memory of the bottleneck."""
        width, size = self.arguments["width"], self.bottleneck.size
        like = self.window
        frames = [(3 if layer == 0 else width, self.bins[layer]) for layer in range(len(self.encoder))]
        frames += [(width, bins) for bins in self.bins[:0:-1]]
        return (
            *(like.new_zeros(batch, HOP) for _ in range(2)),
            *(like.new_zeros(batch, channels, 1, bins) for channels, bins in frames),
            like.new_zeros(batch, len(self.bottleneck.grus), size),
        )

    def step(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        heard, said, *caches, hidden = state
        halves = torch.cat([heard, block], dim=-1).unflatten(-1, (-1, HOP))
        frames = torch.cat([halves[:, :-1], halves[:, 1:]], dim=-1) * self.window
        spectrum = self.fourier(frames).movedim(-1, 1)
        mask, caches, hidden = self._mask(spectrum, iter(caches), hidden)
        frames = self.fourier.inverse(masked(spectrum, mask).movedim(1, -1)) * self.window
        first, second = frames.split(HOP, dim=-1)
        # A hop is said when both windows that hold it are known.
        estimate = first + torch.cat([said.unsqueeze(1), second[:, :-1]], dim=1)
        return estimate.flatten(1), (halves[:, -1], second[:, -1], *caches, hidden)

    def _mask(self, spectrum: Tensor, caches: Iterator[Tensor], hidden: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """The complex mask [B,2,N,F] for a spectrum [B,2,N,F], and what to remember."""
        x, kept, skips = channels_last(compress(spectrum)), [], []
        for layer in self.encoder:
            x, past = layer(x, next(caches))
            kept.append(past)
            skips.append(x)
        x, hidden = self.bottleneck(self.latent(x), hidden)
        for layer, skip in zip(self.decoder, reversed(self.skips), strict=True):
            x, past = layer(x + skip(skips.pop()), next(caches))
            kept.append(past)
        return MASK_BOUND * torch.tanh(x), kept, hidden


def compress(spectrum: Tensor) -> Tensor:
    """Real part, imaginary part [B,2,N,F] -> the same of |X|^0.3 X/|X|, and its magnitude, [B,3,N,F]."""
    power = spectrum.square().sum(dim=1, keepdim=True).clamp(min=POWER_FLOOR)
    compressed = spectrum * power.pow((COMPRESSION - 1) / 2)
    return torch.cat([compressed, power.pow(COMPRESSION / 2)], dim=1)
