"""A causal U-Net on the compressed spectrum: the low-resource student that streams.

Ours: the papers on ABC-KD (Wan et al., Interspeech 2023) and on latent alignment (Luong et al., AES 2025) distil small
U-Nets in the time-frequency domain and give no list of layers. The parts are the field's: a spectrum compressed by
|X|^0.3, depthwise-separable convolutions that see the past alone, a grouped recurrent bottleneck, additive skips and
a bounded complex mask.

Claims, each asserted by a test: the student (width 24) has 0.044 M parameters and 37 M multiply-accumulates per
second; the teacher (width 160) 1.77 M and 1.07 G. Both look 20 ms ahead and no further: a window of 320 samples. With
windows of 512 samples the student has 0.083 M parameters and looks 32 ms ahead; at a hop of 256 it does 38 M, at one
of 128 76 M.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.models.base import State, StreamingEnhancer
from sordino.models.layers.bottleneck import LinearBottleneck
from sordino.models.layers.channels_last import Pointwise, channels_last, takes_channels_last
from sordino.models.layers.fourier import masked
from sordino.models.layers.framing import StreamingStft
from sordino.models.layers.unet_blocks import Down, GroupedGru, Up
from sordino.types import Tap

COMPRESSION = 0.3
POWER_FLOOR = 1e-8
"""|X|^2 from which compression sets in: 80 dB below a window at full scale, so that silence stays silent."""
MASK_BOUND = 2.0
"""Largest real and imaginary part of the mask."""


class UNet(StreamingEnhancer):
    """The causal U-Net.

    Args:
        width: channels of every layer; 24 is the student, 160 the teacher.
        depth: encoder layers, each of which halves the frequencies, of which a window of 320 samples has 161.
        groups: of the recurrent bottleneck; divides ``width``.
        bottleneck: expansion of a linear inverted bottleneck between the encoder and the recurrent layers; 0 is none.
        window: samples of a frame, which is the latency. A long one tells the partials of a voice apart.
        hop: samples from frame to frame, a half of the window or less; work is proportional to the frames.

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
        self.bins = [stft.bins]
        while self.bins[-1] % 2:  # 161 halve to 81, 41, 21, 11 and 6, and 6 do not come back from 3
            self.bins.append(self.bins[-1] // 2 + 1)
        if not 1 <= depth < len(self.bins):
            raise ValueError(f"depth is 1 to {len(self.bins) - 1}, not {depth}")
        del self.bins[depth + 1 :]
        self.name = "unet"
        self.arguments = {"width": width, "depth": depth, "groups": groups, "bottleneck": bottleneck}
        self.arguments |= {"window": window, "hop": hop}
        self.hop, self.delay = hop, stft.delay
        self.last = f"decoder.{depth - 1}.conv"
        channels = [3, *[width] * depth]
        self.encoder = nn.ModuleList(Down(a, b, first=a == 3) for a, b in pairwise(channels))
        self.latent = LinearBottleneck(width, width, bottleneck) if bottleneck else nn.Identity()
        self.bottleneck = GroupedGru(width, self.bins[-1], groups)
        self.skips = nn.ModuleList(Pointwise(width, width) for _ in range(depth))
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
        places = {f"encoder.{i + 1}": f"encoder.{i}.out" for i in range(depth)}
        places |= {f"decoder.{i + 1}": f"decoder.{depth - 1 - i}.out" for i in range(depth)}
        places["latent"] = places[f"encoder.{depth}"]
        if self.arguments["bottleneck"]:
            places["latent.bottleneck"] = "latent"
        return {name: Tap(path, "BCNF", stride=self.hop, offset=self.stft.centre) for name, path in places.items()}

    def forward(self, noisy: Tensor) -> Tensor:
        """Enhance ``noisy`` [B,T]; returns [B,T]. It is one step over the whole signal, and silence behind it."""
        length = noisy.shape[-1]
        whole = (length + self.delay + self.hop - 1) // self.hop * self.hop
        silence = self.initial_state(noisy.shape[0])
        estimate, _ = self._enhanced(F.pad(noisy, (0, whole - length)), silence, silent=True)
        return estimate[:, self.delay : self.delay + length]

    def initial_state(self, batch: int = 1) -> State:
        """Input before the next frame, output begun there, a frame before each convolution, the bottleneck's memory."""
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
        return self._enhanced(block, state, silent=False)

    def _enhanced(self, block: Tensor, state: State, silent: bool) -> tuple[Tensor, State]:
        """One step; ``silent`` promises that the state is silence, which saves a copy of what a convolution reads."""
        past, begun, *caches, hidden = state
        spectrum, past = self.stft.analyse(block, past)
        known = [None] * len(caches) if silent and takes_channels_last(spectrum) else caches
        mask, kept, hidden = self._mask(spectrum, iter(known), hidden)
        estimate, begun = self.stft.synthesise(masked(spectrum, mask), begun)
        return estimate, (past, begun, *kept, hidden)

    def _mask(
        self, spectrum: Tensor, caches: Iterator[Tensor | None], hidden: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """The complex mask [B,2,N,F] for a spectrum [B,2,N,F], and what to remember."""
        x, kept, skips = compress(spectrum), [], []
        x = channels_last(x) if takes_channels_last(x) else x
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
