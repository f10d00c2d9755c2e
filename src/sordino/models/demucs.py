"""DEMUCS for denoising: an hourglass of convolutions around an LSTM, in the time domain; streams if causal.

Defossez, Synnaeve, Adi: "Real Time Speech Enhancement in the Waveform Domain", Interspeech 2020, arXiv 2006.12847.

Claims, each asserted by a test: DEMUCS-S (hidden 48, stride 4, resample 4) has 18.87 M parameters and 34.56 GFLOPs on
4 s as the MV-AT paper counts them; DEMUCS-L (64, 2, 2) has 33.53 M and 388.48 GFLOPs; the network of 64 that is not
causal has 60.81 M. As a stream S has a latency of 851 samples, 53.2 ms (hop 256 and delay 595), and L of 231, 14.4 ms
(hop 16 and delay 215): the look-ahead of the layers and of the resamplers, rounded up to whole frames of the deepest
layer, and the hop itself.

Normalisation: a stream cannot be divided by the standard deviation of the whole signal. ``running`` interprets the
paper's running estimate as the root mean square of all samples so far, which does not depend on how the stream is cut
into blocks. It never forgets: after digital silence it takes as long to settle as the silence lasted.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.errors import InputError
from sordino.models.base import State, StreamingEnhancer
from sordino.models.layers.demucs_blocks import DecoderLayer, EncoderLayer, Recurrence
from sordino.models.layers.resample import AROUND_DOUBLE, AROUND_HALVE, double, halve, sinc_kernel
from sordino.models.layers.streaming import StreamState, layer_delays
from sordino.models.layers.strided import (
    DEEPEST,
    SCALE_FLOOR,
    deviation,
    frames_behind,
    precise,
    rescale,
    running_scale,
    valid_length,
)
from sordino.types import Tap

Normalisation = Literal["item", "running"]
MOST_RESAMPLING = 16
"""The signal is as many times longer inside. No weight depends on it, so a small file could ask for any memory."""


class Demucs(StreamingEnhancer):
    """DEMUCS of any width, depth and stride.

    Taps, i = 1..depth with the deepest last: ``encoder.i``, ``decoder.i`` (the mirror of encoder i, so that
    ``decoder.depth`` runs first), and ``latent``, the output of the LSTM.

    Args:
        hidden: channels of the first layer.
        depth: number of encoder layers.
        kernel: kernel size of their convolutions, at least ``stride``.
        stride: stride of their convolutions.
        resample: 1 or a power of 2: the network runs at this multiple of the sampling rate.
        growth: factor of the channels from layer to layer.
        causal: whether the LSTM runs forward in time only.
        normalisation: the input is divided by its standard deviation over the whole ``item``, as published, or by the
            ``running`` root mean square up to each sample; a stream needs the latter, which needs a causal network.
            With ``running``, the end of the signal is followed by silence, as in a stream.

    Raises:
        ValueError: arguments out of range, or that contradict each other.
    """

    unrolls = True

    def __init__(
        self,
        hidden: int = 64,
        depth: int = 5,
        kernel: int = 8,
        stride: int = 4,
        resample: int = 4,
        growth: int = 2,
        causal: bool = True,
        normalisation: Normalisation = "item",
    ) -> None:
        super().__init__()
        least = min(hidden, depth, stride, growth)
        if least < 1 or depth > DEEPEST or kernel < stride or not _is_factor(resample):
            sizes = f"hidden={hidden}, depth={depth}, kernel={kernel}, stride={stride}, growth={growth}"
            raise ValueError(
                f"no DEMUCS with {sizes}, resample={resample}: "
                f"depth <= {DEEPEST}, kernel >= stride, resample a power of 2 up to {MOST_RESAMPLING}"
            )
        if normalisation not in get_args(Normalisation) or (normalisation == "running" and not causal):
            raise ValueError(
                f"no DEMUCS with normalisation={normalisation!r}, causal={causal}: item, or running if causal"
            )
        self.name = "demucs"
        self.arguments = {"hidden": hidden, "depth": depth, "kernel": kernel, "stride": stride, "resample": resample}
        self.arguments |= {"growth": growth, "causal": causal, "normalisation": normalisation}
        self.kernel, self.stride, self.resample = kernel, stride, resample
        self.causal, self.normalisation = causal, normalisation
        self.last = f"decoder.{depth - 1}.up"
        self.widths = widths = [1, *(hidden * growth**layer for layer in range(depth))]
        pairs = list(pairwise(widths))
        self.encoder = nn.ModuleList(EncoderLayer(c_in, c_out, kernel, stride) for c_in, c_out in pairs)
        self.latent = Recurrence(widths[-1], causal)
        self.decoder = nn.ModuleList(
            DecoderLayer(c_out, c_in, kernel, stride, last=layer == 0)
            for layer, (c_in, c_out) in [*enumerate(pairs)][::-1]
        )
        self.sinc: Tensor
        self.register_buffer("sinc", sinc_kernel(), persistent=False)
        self.apply(rescale)
        self._delays = layer_delays(kernel, stride, depth, resample)
        if self.streams:
            self.hop, self.delay = self._delays.hop, self._delays.downsampled[-1]

    @property
    def streams(self) -> bool:
        return self.normalisation == "running"

    @property
    def taps(self) -> dict[str, Tap]:
        depth = len(self.encoder)
        places = [frames_behind(layers, self.kernel, self.stride, self.resample) for layers in range(depth + 1)]
        taps = {"latent": Tap("latent", **places[-1])}
        for layer in range(1, depth + 1):
            taps[f"encoder.{layer}"] = Tap(f"encoder.{layer - 1}", **places[layer])
            taps[f"decoder.{layer}"] = Tap(f"decoder.{depth - layer}", **places[layer - 1])
        return taps

    def forward(self, noisy: Tensor) -> Tensor:
        length = padded_length = noisy.shape[-1]
        if self.normalisation == "running":
            zero = torch.zeros(len(noisy), dtype=precise(noisy.device), device=noisy.device)
            scale, _ = running_scale(noisy, zero, zero)
            # As in a stream, silence follows the signal: so much of it that its end influences no sample of the
            # estimate.
            padded_length = length + self.latency
        else:
            scale = deviation(noisy)
        inner = valid_length(padded_length * self.resample, self.kernel, self.stride, len(self.encoder))
        # Rounded up. As -(-a // b) it would be rounded to zero in an exported graph.
        needed = (inner + self.resample - 1) // self.resample
        padded = F.pad(noisy / (SCALE_FLOOR + scale), (0, needed - length))
        x = padded.unsqueeze(1)
        for _ in self._delays.upsampled[1:]:
            x = double(F.pad(x, AROUND_DOUBLE), self.sinc)
        skips = []
        for layer in self.encoder:
            x = layer(x)
            skips.append(x)
        x = self.latent(x)
        for layer in self.decoder:
            x = layer(x + skips.pop()[..., : x.shape[-1]])
        for _ in self._delays.downsampled[1:]:
            x = F.pad(x, (0, x.shape[-1] % 2))
            x = halve(F.pad(x, AROUND_HALVE), self.sinc)
        return x.squeeze(1)[..., :length] * scale

    def initial_state(self, batch: int = 1) -> State:
        """Return the state after silence; its shapes follow from the delays. See :class:`StreamingEnhancer`.

        In order: past hops, energy of past samples, past scales, past samples before each doubling, at each depth of
        the encoder, the LSTM's hidden and cell states, the decoder's overlaps, past samples before each halving.

        Raises:
            InputError: the network does not stream.
        """
        self.require_streaming("normalisation: running, causal: true")

        def zeros(*shape: int, dtype: torch.dtype = self.sinc.dtype) -> Tensor:
            return torch.zeros(batch, *shape, dtype=dtype, device=self.sinc.device)

        state = [zeros(dtype=torch.int64), zeros(dtype=precise(self.sinc.device)), zeros(self.delay)]
        state += [zeros(1, sum(AROUND_DOUBLE)) for _ in self._delays.upsampled[1:]]
        # The deepest layer's width has no partner: its output is needed at once and not kept.
        state += [zeros(width, kept) for width, kept in zip(self.widths, self._delays.kept, strict=False)]
        state += [zeros(2, self.widths[-1]), zeros(2, self.widths[-1])]
        state += [zeros(width, self.kernel - self.stride) for width in self.widths[-2::-1]]
        state += [zeros(1, kept) for kept in self._delays.kept_downsampled]
        return tuple(state)

    def step(self, block: Tensor, state: State) -> tuple[Tensor, State]:
        """Enhance the next block of a stream; see :class:`StreamingEnhancer`.

        Raises:
            InputError: the network does not stream, or ``block`` is not a whole number of hops.
        """
        self.require_streaming("normalisation: running, causal: true")
        length = block.shape[-1]
        hops = length // self.hop
        if hops == 0 or length % self.hop:
            raise InputError("block", f"{length} samples", f"whole hops of {self.hop} samples")
        memory = StreamState(state, hops)
        scale, energy = running_scale(block, memory.passed * self.hop, memory.take())
        memory.keep(energy)
        # The output is ``delay`` samples late, and is multiplied by the scale of the samples that it estimates.
        delayed_scale = memory.with_past(scale)[..., :length]
        x = (block / (SCALE_FLOOR + scale)).unsqueeze(1)
        for delay in self._delays.upsampled[1:]:
            x = double(memory.with_past(x), self.sinc)
            x = x * memory.is_inside(x, delay)
        x = self._step_layers(x, memory)
        for delay in self._delays.downsampled[1:]:
            x = halve(memory.with_past(x)[..., : x.shape[-1] + sum(AROUND_HALVE)], self.sinc)
            x = x * memory.is_inside(x, delay)
        return x.squeeze(1) * delayed_scale, memory.next_state

    def _step_layers(self, x: Tensor, memory: StreamState) -> Tensor:
        """Process the next samples [B,1,N] at the inner rate: encoder, LSTM and decoder."""
        skips = []
        for depth, layer in enumerate(self.encoder):
            # The kept past of a layer's input serves twice: its end is the context of the layer's convolution, its
            # beginning is what the decoder, which runs later, adds to its own signal of the same depth.
            joined, ready = memory.with_past(x), x.shape[-1]
            skips.append(joined[..., :ready])
            start = joined.shape[-1] - ready - self._delays.lookback[depth]
            x = layer(joined[..., start : start + ready + self.kernel - self.stride])
        # The input itself is no skip, and the deepest layer's output is added at once.
        skips = [*skips[1:], x]
        inside = memory.is_inside(x, self._delays.encoded[-1])
        x, hidden, cell = self.latent.step(x, inside, memory.take(), memory.take())
        memory.keep(hidden)
        memory.keep(cell)
        for delay, layer in zip(self._delays.decoded[:0:-1], self.decoder, strict=True):
            x = x + skips.pop()
            x, overlap = cast(DecoderLayer, layer).step(x, memory.is_inside(x, delay), memory.take())
            memory.keep(overlap)
        return x * memory.is_inside(x, self._delays.decoded[0])


def _is_factor(resample: int) -> bool:
    """Whether a signal can be resampled by this factor: a power of 2 that is not too large."""
    return 1 <= resample <= MOST_RESAMPLING and resample & (resample - 1) == 0
