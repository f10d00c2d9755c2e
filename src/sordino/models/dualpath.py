"""A causal dual-path network: convolutions over frequency, and between them GRUs over frequency and over time.

The layout follows two small networks. GTCRN (Rong et al., ICASSP 2024) merges high frequencies into ERB bands and has
two strided convolutions in encoder and decoder each, grouped dual-path GRUs and a complex mask. FastEnhancer (Ahn et
al., 2025, arXiv 2509.21867) has no convolution over time: only its recurrent layers have a memory. The dual path, a
layer along frequency within a frame and one along time within a band, is that of DPCRN (Le et al., Interspeech 2021,
arXiv 2107.05429).

Differences from them: no depthwise convolution, which a CPU trains slowly; GRUs that are not grouped; and a spectrum
that is divided by its own recent level, so that the estimate scales with the recording.

Claims, each asserted by a test: 0.027 M parameters and 40 M multiply-accumulates per second; with three blocks, as it
ships, 0.037 M and 53 M. The network looks ahead by no more than one window, 32 ms by default.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.models.base import State, StreamingEnhancer
from sordino.models.layers.bands import Bands
from sordino.models.layers.fourier import compress, masked
from sordino.models.layers.framing import StreamingStft, frame
from sordino.models.layers.mirrored import interleave, mirrored_paths
from sordino.models.layers.onnx_ops import Gru
from sordino.types import Tap

POWER_FLOOR = 1e-12
"""|X|^2 below which the compression is linear. It lies 40 dB below the rounding of 16 bits."""
LEVEL_FLOOR = 1e-2
"""Least level by which a spectrum is divided: that of a magnitude of 8e-7."""
WINDOW_S = 0.032
"""Seconds of a frame."""
LEVEL_S = 2.0
"""Seconds over which the level is averaged."""
MASK_BOUND = 2.0
"""Largest real and imaginary part of the mask."""
KERNEL = 5


class Level(nn.Module):
    """Mean of a compressed magnitude over those of the last ``frames`` frames that are not digital silence.

    The memory [B,2,frames-1] holds the mean of each past frame, and 1 for frames that are not silent, else 0. Because
    of the compression, loud and quiet parts both count: rumble that holds all the energy hardly changes the level.
    """

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.register_buffer("ones", torch.ones(1, 1, frames), persistent=False)
        self.ones: Tensor

    def forward(self, magnitude: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the level of each frame.

        Args:
            magnitude: [B,1,N,F].
            memory: of the past frames, [B,2,frames-1].

        Returns:
            The level [B,1,N,1], and the new memory.
        """
        means = magnitude.mean(dim=(1, 3))
        counted = torch.stack([means, (means > 0).to(means.dtype)], dim=1)
        frames = torch.cat([memory, counted], dim=-1)
        # A convolution with ones is a sliding sum over the last frames, of the means and of the count.
        total, count = F.conv1d(frames.flatten(0, 1).unsqueeze(1), self.ones).unflatten(0, (-1, 2)).unbind(1)
        level = (total / count.clamp(min=1)).clamp(min=LEVEL_FLOOR)
        return level.unsqueeze(-1), frames[..., -memory.shape[-1] :]


class Down(nn.Sequential):
    """Encoder layer, a strided convolution over frequency: [B,c_in,N,F] -> [B,c_out,N,(F+1)/2]."""

    def __init__(self, c_in: int, c_out: int) -> None:
        conv = nn.Conv2d(c_in, c_out, (1, KERNEL), (1, 2), (0, KERNEL // 2), bias=False)
        super().__init__(conv, nn.BatchNorm2d(c_out), nn.PReLU(c_out))


class Up(nn.Module):
    """Decoder layer, twice the frequencies less one: [B,c_in,N,F] -> [B,c_out,N,2F-1]; the last is linear.

    A convolution computes even and odd frequencies as separate channels, which are then interleaved.
    """

    def __init__(self, c_in: int, c_out: int, last: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, 2 * c_out, (1, 3), padding=(0, 1), bias=last)
        self.out = nn.Identity() if last else nn.Sequential(nn.BatchNorm2d(2 * c_out), nn.PReLU(2 * c_out))

    def forward(self, x: Tensor) -> Tensor:
        return interleave(self.out(self.conv(x)))


class DualPath(nn.Module):
    """Dual-path block, [B,N,F,C] -> [B,N,F,C]: a bidirectional GRU over the bands of a frame, a GRU over its frames.

    Each GRU is followed by a linear layer and by a layer norm over bands and channels, and added to its input.
    """

    def __init__(self, channels: int, bands: int) -> None:
        super().__init__()
        self.across = Gru(channels, channels // 2, batch_first=True, bidirectional=True)
        self.along = Gru(channels, channels)
        self.linears = nn.ModuleList(nn.Linear(channels, channels) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm([bands, channels]) for _ in range(2))

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Process ``x`` [B,N,F,C] with ``hidden`` [B,F,C], the state of the GRU over time; returns both, updated."""
        batch, _, bands, channels = x.shape
        y, _ = self.across(x.flatten(0, 1))
        x = x + self.norms[0](self.linears[0](y).unflatten(0, (batch, -1)))
        y, memory = self.along(_frames_first(x), hidden.reshape(1, -1, channels))
        x = x + self.norms[1](_items_first(self.linears[1](y), batch))
        return x, memory.reshape(batch, bands, channels)


def _frames_first(x: Tensor) -> Tensor:
    """Order [B,N,F,C] as a GRU over time takes it, [N,B F,C]: for one item, as in a stream, without a transposition."""
    if x.shape[0] == 1:
        return x.flatten(0, 1)
    return x.transpose(0, 1).flatten(1, 2)


def _items_first(y: Tensor, batch: int) -> Tensor:
    """Order [N,B F,C] as [B,N,F,C] again."""
    if batch == 1:
        return y.unsqueeze(0)
    return y.unflatten(1, (batch, -1)).transpose(0, 1)


class DualPathNetwork(StreamingEnhancer):
    """Causal dual-path network of any size.

    Args:
        width: channels of every layer, an even number.
        blocks: number of dual-path blocks.
        bands: number of frequencies after merging, one more than a multiple of 4 because the encoder halves them twice.
        window: samples of a frame, which is also the latency; 32 ms when left out.
        hop: samples between frames; half of the window when left out.
        sample_rate: Hz.

    Raises:
        ValueError: arguments out of range.
    """

    def __init__(
        self,
        width: int = 24,
        blocks: int = 2,
        bands: int = 97,
        window: int | None = None,
        hop: int | None = None,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__()
        if width < 2 or width % 2 or blocks < 1 or bands < 5 or bands % 4 != 1:
            found = f"width={width}, blocks={blocks}, bands={bands}"
            raise ValueError(f"width is even, blocks at least 1, and bands 4 k + 1, not {found}")
        window, hop = frame(sample_rate, WINDOW_S, window, hop)
        self.name, self.sample_rate = "dualpath", sample_rate
        self.arguments = {
            "width": width,
            "blocks": blocks,
            "bands": bands,
            "window": window,
            "hop": hop,
            "sample_rate": sample_rate,
        }
        self.last = "decoder.1.conv"
        self.stft = StreamingStft(window, hop)
        self.hop, self.delay, self.window = hop, self.stft.delay, window
        self.bands = Bands(self.stft.bins, bands, self.sample_rate)
        self.level = Level(round(LEVEL_S * self.sample_rate / hop))
        self.sizes = [bands, (bands + 1) // 2, (bands + 3) // 4]
        self.encoder = nn.ModuleList([Down(3, width), Down(width, width)])
        self.blocks = nn.ModuleList(DualPath(width, self.sizes[-1]) for _ in range(blocks))
        self.latent = nn.Identity()
        self.decoder = nn.ModuleList([Up(width, width, last=False), Up(width, 2, last=True)])
        last = self.decoder[-1].conv
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        # The mask begins at about 1, so that training starts from the noisy signal, with the right polarity.
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.copy_(torch.tensor([0.5, 0.5, 0.0, 0.0]).atanh())

    @property
    def taps(self) -> dict[str, Tap]:
        """Taps ``encoder.i`` and its mirror ``decoder.i``, i from 1, and ``latent``, the output of the last block."""
        paths = mirrored_paths(len(self.encoder)) | {"latent": "latent"}
        return {name: Tap(path, "BCNF", stride=self.hop, offset=self.stft.centre) for name, path in paths.items()}

    def forward(self, noisy: Tensor) -> Tensor:
        """Enhance ``noisy`` [B,T]; returns [B,T]: one step over the whole signal, followed by ``delay`` of silence."""
        length = noisy.shape[-1]
        whole = (length + self.delay + self.hop - 1) // self.hop * self.hop
        estimate, _ = self.step(F.pad(noisy, (0, whole - length)), self.initial_state(noisy.shape[0]))
        return estimate[:, self.delay : self.delay + length]

    def initial_state(self, batch: int = 1) -> State:
        """Return the state after silence: past input, unfinished output, past levels, and each GRU's state."""
        like = self.stft.weights
        level = like.new_zeros(batch, 2, self.level.ones.shape[-1] - 1)
        past, unfinished = self.stft.memory(batch), self.stft.memory(batch)
        hidden = [like.new_zeros(batch, self.sizes[-1], self.arguments["width"]) for _ in self.blocks]
        return past, unfinished, level, *hidden

    def step(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        past, tail, level, *hidden = state
        spectrum, past = self.stft.analyse(block, past)
        features = compress(spectrum, POWER_FLOOR, silent_zero=True)
        mean, level = self.level(features[:, 2:], level)
        mask, hidden = self._mask(self.bands.merge(features / mean), hidden)
        estimate, tail = self.stft.synthesise(masked(spectrum, self.bands.split(mask)), tail)
        return estimate, (past, tail, level, *hidden)

    def _mask(self, x: Tensor, hidden: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Compute the complex mask [B,2,N,K] of features [B,3,N,K], and the new state of the blocks."""
        skips, memories = [], []
        for down in self.encoder:
            x = down(x)
            skips.append(x)
        x = x.permute(0, 2, 3, 1)
        for block, memory in zip(self.blocks, hidden, strict=True):
            x, memory = block(x, memory)
            memories.append(memory)
        x = self.latent(x.permute(0, 3, 1, 2))
        for up in self.decoder:
            x = up(x + skips.pop())
        return MASK_BOUND * torch.tanh(x), memories
