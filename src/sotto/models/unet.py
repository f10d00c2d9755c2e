"""A causal U-Net on the compressed spectrum: the low-resource student that streams.

Ours: the papers on ABC-KD (Wan et al., Interspeech 2023) and on latent alignment (Luong et al., AES 2025) distil small
U-Nets in the time-frequency domain and give no list of layers. The parts are the field's: a spectrum compressed by
|X|^0.3, depthwise-separable convolutions that see the past alone, a grouped recurrent bottleneck, additive skips and
a bounded complex mask.

Claims, each asserted by a test: the student (width 24) has 0.044 M parameters and 37 M multiply-accumulates per
second; the teacher (width 160) 1.77 M and 1.07 G. Both look 20 ms ahead and no further: a window of 320 samples,
unless told otherwise.
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
from sotto.models.fourier import masked
from sotto.models.framing import StreamingStft
from sotto.models.operators import Gru
from sotto.types import Tap

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
        return self.conv(torch.cat([past, x], dim=2)), x[:, :, -1:]


class Down(nn.Module):
    """Encoder layer: half the frequencies. The first mixes its few input channels in full, the others separably."""

    def __init__(self, c_in: int, c_out: int, first: bool) -> None:
        super().__init__()
        self.conv = CausalConv(c_in, c_out if first else c_in, stride=2, groups=1 if first else c_in)
        self.mix = nn.Identity() if first else nn.Conv2d(c_in, c_out, 1, bias=False)
        self.out = nn.Sequential(nn.BatchNorm2d(c_out), nn.PReLU(c_out))

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
        self.mix = nn.Identity() if last else nn.Conv2d(c_in, c_out, 1, bias=False)
        self.conv = CausalConv(c_in if last else c_out, 2 * c_out, groups=1 if last else c_out)
        self.out = nn.Identity() if last else nn.Sequential(nn.BatchNorm2d(c_out), nn.PReLU(c_out))

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
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
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """``hidden`` [B,groups,size] is the memory of the block before; returns it anew beside the output."""
        folded = x.transpose(1, 2).flatten(2).split(self.size, dim=-1)
        outputs, memories = zip(
            *(
                gru(part, memory.transpose(0, 1).contiguous())
                for gru, part, memory in zip(self.grus, folded, hidden.split(1, dim=1), strict=True)
            ),
            strict=True,
        )
        unfolded = torch.cat(outputs, dim=-1).unflatten(-1, (x.shape[1], x.shape[3])).transpose(1, 2)
        return x + self.mix(unfolded), torch.cat(memories).transpose(0, 1)


class UNet(StreamingEnhancer):
    """The causal U-Net.

    Args:
        width: channels of every layer; 24 is the student, 160 the teacher.
        depth: encoder layers, each of which halves the frequencies, 161 of the default window.
        groups: of the recurrent bottleneck; divides ``width``.
        bottleneck: expansion of a linear inverted bottleneck between the encoder and the recurrent layers; 0 is none.
        window: samples of a frame, which is also the latency.
        hop: samples between frames.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        width: int = 24,
        depth: int = 5,
        groups: int = 4,
        bottleneck: int = 0,
        window: int = 320,
        hop: int = 160,
    ) -> None:
        super().__init__()
        if groups < 1 or width < groups or width % groups:
            raise ValueError(f"width is a multiple of groups, not width={width}, groups={groups}")
        stft = StreamingStft(window, hop)
        # 161 bins halve to 81, 41, 21, 11 and 6, and 6 do not come back from 3.
        if depth < 1 or (stft.bins - 1) % 2**depth:
            raise ValueError(f"depth is at least 1, and {window // 2} can be halved so many times, not depth={depth}")
        self.name = "unet"
        self.arguments = {"width": width, "depth": depth, "groups": groups, "bottleneck": bottleneck}
        self.arguments |= {"window": window, "hop": hop}
        self.hop, self.delay = hop, stft.delay
        self.last = f"decoder.{depth - 1}.conv"
        self.bins = [stft.bins]
        for _ in range(depth):
            self.bins.append((self.bins[-1] + 1) // 2)
        channels = [3, *[width] * depth]
        self.encoder = nn.ModuleList(Down(a, b, first=a == 3) for a, b in pairwise(channels))
        self.latent = LinearBottleneck(width, width, bottleneck) if bottleneck else nn.Identity()
        self.bottleneck = GroupedGru(width, self.bins[-1], groups)
        self.skips = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(depth))
        self.decoder = nn.ModuleList(
            Up(width, width if layer else 2, last=layer == 0) for layer in reversed(range(depth))
        )
        self.stft = stft

    @property
    def taps(self) -> dict[str, Tap]:
        """``encoder.i`` and its mirror ``decoder.i``, i from 1, and ``latent``, the deepest encoder layer's output.

        A network with a linear bottleneck also shows what comes out of that, ``latent.bottleneck``.
        """
        depth = len(self.encoder)
        taps = {f"encoder.{i + 1}": Tap(f"encoder.{i}.out", "BCNF") for i in range(depth)}
        taps |= {f"decoder.{i + 1}": Tap(f"decoder.{depth - 1 - i}.out", "BCNF") for i in range(depth)}
        taps["latent"] = taps[f"encoder.{depth}"]
        return taps | ({"latent.bottleneck": Tap("latent", "BCNF")} if self.arguments["bottleneck"] else {})

    def forward(self, noisy: Tensor) -> Tensor:
        """Enhance ``noisy`` [B,T]; returns [B,T]. It is one step over the whole signal, and silence behind it."""
        length = noisy.shape[-1]
        whole = (length + self.delay + self.hop - 1) // self.hop * self.hop
        estimate, _ = self.step(F.pad(noisy, (0, whole - length)), self.initial_state(noisy.shape[0]))
        return estimate[:, self.delay : self.delay + length]

    def initial_state(self, batch: int = 1) -> State:
        """Input and output of a window less a hop, a frame before each convolution, the memory of the bottleneck."""
        width, size = self.arguments["width"], self.bottleneck.size
        like = self.stft.weights
        frames = [(3 if layer == 0 else width, self.bins[layer]) for layer in range(len(self.encoder))]
        frames += [(width, bins) for bins in self.bins[:0:-1]]
        return (
            *(self.stft.memory(batch) for _ in range(2)),
            *(like.new_zeros(batch, channels, 1, bins) for channels, bins in frames),
            like.new_zeros(batch, len(self.bottleneck.grus), size),
        )

    def step(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        past, tail, *caches, hidden = state
        spectrum, past = self.stft.analyse(block, past)
        mask, caches, hidden = self._mask(spectrum, iter(caches), hidden)
        estimate, tail = self.stft.synthesise(masked(spectrum, mask), tail)
        return estimate, (past, tail, *caches, hidden)

    def _mask(self, spectrum: Tensor, caches: Iterator[Tensor], hidden: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """The complex mask [B,2,N,F] for a spectrum [B,2,N,F], and what to remember."""
        x, kept, skips = compress(spectrum), [], []
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
