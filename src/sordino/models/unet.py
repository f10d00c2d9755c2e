"""A U-Net on the compressed spectrum: a low-resource student that streams, or a teacher that does not.

The network is sordino's own: the papers on ABC-KD (Wan et al., Interspeech 2023) and on latent alignment (Luong et al.,
AES 2025) distil small U-Nets in the time-frequency domain but do not list their layers. Its parts are usual in the
field: a spectrum compressed by |X|^0.3, causal depthwise-separable convolutions, a grouped recurrent bottleneck,
additive skip connections and a bounded complex mask.

Claims, each asserted by a test: the student (width 24) has 0.044 M parameters and 37 M multiply-accumulates per
second; the teacher (width 160) 1.77 M and 1.07 G. Both look ahead by 20 ms, a window of 320 samples. With windows of
512 samples the student has 0.083 M parameters and looks ahead by 32 ms; it then takes 38 M multiply-accumulates per
second at a hop of 256 and 76 M at a hop of 128.

With ``causal: false`` it is a teacher that reads the whole recording: every convolution reads the frame after, too, and
as many GRUs again run from the end to the beginning. At width 24 it has 0.077 M parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.models.base import State, StreamingEnhancer
from sordino.models.layers.bottleneck import LinearBottleneck
from sordino.models.layers.channels_last import Pointwise, channels_last, takes_channels_last
from sordino.models.layers.fourier import compress, masked
from sordino.models.layers.framing import StreamingStft, frame
from sordino.models.layers.mirrored import mirrored_paths
from sordino.models.layers.unet_blocks import Down, GroupedGru, Up
from sordino.types import Tap

WINDOW_S = 0.02
"""Seconds of a frame, to the nearest multiple of ``MULTIPLE`` samples."""
MULTIPLE = 32
"""Samples: the frequencies of such a window can be halved four times at least."""
POWER_FLOOR = 1e-8
"""|X|^2 above which compression sets in: 120 dB below a tone at full scale, so that silence stays silent."""
MASK_BOUND = 2.0
"""Largest real and imaginary part of the mask."""


def _halved(bins: int) -> list[int]:
    """Return a number of frequencies, and those after each layer that can halve it.

    A decoder layer makes 2 F - 1 frequencies of F, so only odd numbers can be halved and restored: 161 become 81, 41,
    21, 11 and 6, and there it ends.
    """
    halved = [bins]
    while halved[-1] % 2:
        halved.append(halved[-1] // 2 + 1)
    return halved


class UNet(StreamingEnhancer):
    """U-Net of any size, causal or not.

    Args:
        width: channels of every layer; 24 is the student, 160 the teacher.
        depth: number of encoder layers; each halves the number of frequencies, 161 for a window of 320 samples.
        groups: groups of the recurrent bottleneck; divides ``width``.
        bottleneck: expansion of a linear inverted bottleneck between the encoder and the recurrent layers; 0 is none.
        window: samples of a frame, which is the latency; 20 ms when left out, to the nearest multiple of 32. A long one
            resolves the harmonics of a voice.
        hop: samples from frame to frame, half of the window (when left out) or less; work is proportional to the number
            of frames.
        sample_rate: Hz.
        causal: whether it looks no further ahead than its window, and streams. False is a teacher for recordings.
        kernel: frequencies that a convolution spans, an odd number.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        width: int = 24,
        depth: int = 5,
        groups: int = 4,
        bottleneck: int = 0,
        window: int | None = None,
        hop: int | None = None,
        sample_rate: int = 16000,
        causal: bool = True,
        kernel: int = 3,
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel is an odd number of frequencies, not {kernel}")
        if groups < 1 or width < groups or width % groups:
            raise ValueError(f"width is a multiple of groups, not width={width}, groups={groups}")
        window, hop = frame(sample_rate, WINDOW_S, window, hop, MULTIPLE)
        stft = StreamingStft(window, hop)
        bins = _halved(stft.bins)
        if not 1 <= depth < len(bins):
            most = len(bins) - 1
            raise ValueError(f"depth is 1 to {most} for a window of {window} samples, not {depth}; 64 n allow 5")
        self.bins = bins[: depth + 1]
        self.name, self.sample_rate = "unet", sample_rate
        self.arguments = {"width": width, "depth": depth, "groups": groups, "bottleneck": bottleneck, "window": window}
        self.arguments |= {"hop": hop, "sample_rate": sample_rate, "causal": causal, "kernel": kernel}
        self.causal = causal
        self.hop, self.delay, self.window = hop, stft.delay, window
        self.last = f"decoder.{depth - 1}.conv"
        channels = [3, *[width] * depth]
        self.encoder = nn.ModuleList()
        for layer, (c_in, c_out) in enumerate(pairwise(channels)):
            self.encoder.append(Down(c_in, c_out, kernel, first=layer == 0, causal=causal))
        self.latent = LinearBottleneck(width, width, bottleneck) if bottleneck else nn.Identity()
        self.bottleneck = GroupedGru(width, self.bins[-1], groups, causal)
        self.skips = nn.ModuleList(Pointwise(width, width) for _ in range(depth))
        self.decoder = nn.ModuleList(Up(width, width, kernel, last=False, causal=causal) for _ in range(depth - 1))
        self.decoder.append(Up(width, 2, kernel, last=True, causal=causal))
        self.stft = stft

    @property
    def streams(self) -> bool:
        return self.causal

    @property
    def taps(self) -> dict[str, Tap]:
        """Taps ``encoder.i`` and its mirror ``decoder.i``, i from 1, and ``latent``, the last encoder layer's output.

        A network with a linear bottleneck also has ``latent.bottleneck``, the bottleneck's output.
        """
        depth = len(self.encoder)
        paths = mirrored_paths(depth, ".out")
        paths["latent"] = paths[f"encoder.{depth}"]
        if self.arguments["bottleneck"]:
            paths["latent.bottleneck"] = "latent"
        return {name: Tap(path, "BCNF", stride=self.hop, offset=self.stft.centre) for name, path in paths.items()}

    def forward(self, noisy: Tensor) -> Tensor:
        """Enhance ``noisy`` [B,T]; returns [B,T]: one step over the whole signal, followed by ``delay`` of silence."""
        length = noisy.shape[-1]
        whole = (length + self.delay + self.hop - 1) // self.hop * self.hop
        silence = self._silence(noisy.shape[0])
        estimate, _ = self._step(F.pad(noisy, (0, whole - length)), silence, after_silence=True)
        return estimate[:, self.delay : self.delay + length]

    def initial_state(self, batch: int = 1) -> State:
        self.require_streaming("causal: true")
        return self._silence(batch)

    def _silence(self, batch: int) -> State:
        """Return the state after silence: past input, unfinished output, each convolution's last frame, GRU states."""
        width, like = self.arguments["width"], self.stft.weights
        *encoder_bins, deepest = self.bins
        frames = [(3, encoder_bins[0])]  # input of each convolution, as channels and bins
        frames += [(width, bins) for bins in encoder_bins[1:]]
        frames += [(width, bins) for bins in (deepest, *reversed(encoder_bins[1:]))]
        past, unfinished = self.stft.memory(batch), self.stft.memory(batch)
        caches = [like.new_zeros(batch, channels, 1, bins) for channels, bins in frames]
        hidden = like.new_zeros(batch, len(self.bottleneck.grus), self.bottleneck.size)
        return past, unfinished, *caches, hidden

    def step(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        self.require_streaming("causal: true")
        return self._step(block, state, after_silence=False)

    def _step(self, block: Tensor, state: State, after_silence: bool) -> tuple[Tensor, State]:
        """Enhance a block; ``after_silence`` promises an initial ``state``, for which a faster path exists."""
        past, unfinished, *caches, hidden = state
        spectrum, past = self.stft.analyse(block, past)
        if after_silence and takes_channels_last(spectrum):
            # None stands for silence: a convolution then pads, and need not copy its input behind the last frame.
            caches = [None] * len(caches)
        mask, caches, hidden = self._mask(spectrum, caches, hidden)
        estimate, unfinished = self.stft.synthesise(masked(spectrum, mask), unfinished)
        return estimate, (past, unfinished, *caches, hidden)

    def _mask(
        self, spectrum: Tensor, caches: Sequence[Tensor | None], hidden: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Compute the complex mask [B,2,N,F] of a spectrum [B,2,N,F], the new caches, and the new GRU states."""
        x = compress(spectrum, POWER_FLOOR)
        if takes_channels_last(x):
            x = channels_last(x)
        depth, new_caches, skips = len(self.encoder), [], []
        for layer, cache in zip(self.encoder, caches[:depth], strict=True):
            x, last_frame = layer(x, cache)
            new_caches.append(last_frame)
            skips.append(x)
        x, hidden = self.bottleneck(self.latent(x), hidden)
        for layer, skip, cache in zip(self.decoder, reversed(self.skips), caches[depth:], strict=True):
            x, last_frame = layer(x + skip(skips.pop()), cache)
            new_caches.append(last_frame)
        return MASK_BOUND * torch.tanh(x), new_caches, hidden
