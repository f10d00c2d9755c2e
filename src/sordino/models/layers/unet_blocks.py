"""Layers of the U-Net: convolutions over two or three frames, and a grouped recurrent bottleneck.

A layer takes its memory of the block before, and returns the memory for the next one with its output. On a CPU it uses
the format ``channels_last``, and the GRUs run in parallel; a GPU and an exported graph get torch's operators, which are
faster there. The results agree within rounding.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.models.layers.channels_last import Pointwise, channels_last, takes_channels_last
from sordino.models.layers.mirrored import interleave
from sordino.models.layers.norm_prelu import NormPRelu
from sordino.models.layers.onnx_ops import Gru
from sordino.models.layers.scan import scan


class FrameConv(nn.Module):
    """Convolution over a frame and the one before it: [B,c_in,N,F] -> [B,c_out,N,F'].

    ``past`` is the last frame of the block before, [B,c_in,1,F]; after silence it is zero, which is causal padding.
    None also means silence, and avoids a copy of ``x``: the convolution then pads both ends and returns one frame too
    many, N + 1, which the reader of the output must leave out.

    ``kernel`` counts the frequencies that it spans, an odd number. One that is not ``causal`` also reads the frame
    after. It takes the whole signal, ignores ``past``, and returns N frames.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, *, causal: bool) -> None:
        super().__init__()
        self.causal, self.edge = causal, kernel // 2
        frames, padding = (2, 0) if causal else (3, 1)
        self.conv = nn.Conv2d(
            c_in, c_out, (frames, kernel), (1, stride), (padding, self.edge), groups=groups, bias=False
        )

    def forward(self, x: Tensor, past: Tensor | None) -> Tensor:
        if not self.causal:
            return self.conv(x)
        if past is None:
            padding = (1, self.edge)
            return F.conv2d(x, self.conv.weight, self.conv.bias, self.conv.stride, padding, groups=self.conv.groups)
        return self.conv(_joined(past, x))

    def interleaved(self, x: Tensor, past: Tensor | None) -> Tensor:
        """Convolve, and interleave the output channels, which are even and odd frequencies in turn: [B,c_out/2,N,2F].

        A convolution with c_in groups gets ``x`` with all its channels twice, 2 c_in: a depthwise convolution from
        2 c_in to 2 c_in channels has a fast kernel, one from c_in to 2 c_in channels does not.
        """
        # The weights are sorted: the even frequencies of all channels first, then the odd ones. In channels_last the
        # output [B,N,F,2,c_out/2] then already is the interleaved spectrum [B,N,2F,c_out/2], without a copy.
        weight = _even_first(self.conv.weight)
        bias = None if self.conv.bias is None else _even_first(self.conv.bias)
        if past is None or not self.causal:
            frames = 1
        else:
            frames = 0  # the frame before stands in the place of the padding
            x = _joined(past, x)
        groups = 1 if self.conv.groups == 1 else x.shape[1]
        x = F.conv2d(x, weight, bias, padding=(frames, self.edge), groups=groups)
        return x.movedim(1, -1).unflatten(-1, (2, -1)).flatten(2, 3).movedim(-1, 1)


class Down(nn.Module):
    """Encoder layer, which halves the frequencies: [B,c_in,N,F] -> [B,c_out,N,F/2 + 1].

    The first one has few input channels and is a full convolution; the others are depthwise separable.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, first: bool, causal: bool) -> None:
        super().__init__()
        if first:
            self.conv = FrameConv(c_in, c_out, kernel, stride=2, causal=causal)
            self.mix = nn.Identity()
        else:
            self.conv = FrameConv(c_in, c_in, kernel, stride=2, groups=c_in, causal=causal)
            self.mix = Pointwise(c_in, c_out, bias=False)
        self.out = NormPRelu(c_out)

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        mixed = self.mix(self.conv(x, past))
        return self.out(mixed, x.shape[2], mixed.shape[3]), x[:, :, -1:]


class Up(nn.Module):
    """Decoder layer, which doubles the frequencies: [B,c_in,N,F] -> [B,c_out,N,2F - 1].

    A convolution computes even and odd frequencies as separate channels, which are then interleaved. The last layer is
    a full convolution, as the mask has only two channels, and has no normalisation. An exported graph normalises before
    it interleaves, which is equivalent: a runtime can then fold the norm into the convolution.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, last: bool, causal: bool) -> None:
        super().__init__()
        if last:
            self.mix = nn.Identity()
            self.conv = FrameConv(c_in, 2 * c_out, kernel, causal=causal)
            self.out = nn.Identity()
        else:
            self.mix = Pointwise(c_in, c_out, bias=False)
            self.conv = FrameConv(c_out, 2 * c_out, kernel, groups=c_out, causal=causal)
            self.out = NormPRelu(c_out)

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        if not takes_channels_last(x):
            return self._plain(x, cast(Tensor, past))
        if isinstance(self.mix, Pointwise):
            x = self.mix(x, copies=2)
            if past is not None:
                past = past.repeat(1, 2, 1, 1)
        wide = self.conv.interleaved(x, past)
        # One frequency is too many, and where past is None one frame.
        frames, frequencies = x.shape[2], wide.shape[3] - 1
        if isinstance(self.out, NormPRelu):
            y = self.out(wide, frames, frequencies)
        else:
            y = self.out(wide[:, :, :frames, :frequencies])
        return y, x[:, : self.conv.conv.in_channels, -1:]

    def _plain(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the layer with torch's operators, for a GPU, a few frames, or an exported graph."""
        x = self.mix(x)
        y, out = self.conv(x, past), self.out
        if torch.compiler.is_exporting() and isinstance(out, nn.Sequential):
            # The norm before the interleaving: its values twice, for the even and the odd frequencies of a channel.
            norm, out = cast(nn.BatchNorm2d, out[0]), out[1]
            mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
            y = F.batch_norm(
                y,
                mean.repeat_interleave(2),
                variance.repeat_interleave(2),
                norm.weight.repeat_interleave(2),
                norm.bias.repeat_interleave(2),
                eps=norm.eps,
            )
        interleaved = interleave(y)
        if isinstance(out, NormPRelu):
            return out(interleaved, *interleaved.shape[2:]), x[:, :, -1:]
        return out(interleaved), x[:, :, -1:]


class GroupedGru(nn.Module):
    """Grouped recurrent layer, [B,C,N,F] -> [B,C,N,F]: each GRU reads all frequencies of its share of the channels.

    A 1x1 convolution mixes the groups, and the input is added. One that is not ``causal`` has as many GRUs again, which
    read the frames from the last to the first; it takes the whole signal.
    """

    def __init__(self, channels: int, bins: int, groups: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        directions = 1 if causal else 2
        self.size = channels // groups * bins
        self.grus = nn.ModuleList(Gru(self.size, self.size, batch_first=True) for _ in range(directions * groups))
        self.mix = Pointwise(directions * channels, channels)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Process ``x`` from the states ``hidden`` [B,GRUs,size] on; returns the output and the new states."""
        folded = x.transpose(1, 2).flatten(2)
        if not self.causal:
            folded = torch.cat([folded, folded.flip(1)], dim=-1)
        if takes_channels_last(x):
            outputs, hidden = scan(cast("list[Gru]", list(self.grus)), folded, hidden)
        else:
            outputs, hidden = self._one_by_one(folded, hidden)
        if not self.causal:
            forward, backward = outputs.chunk(2, dim=-1)
            outputs = torch.cat([forward, backward.flip(1)], dim=-1)
        unfolded = outputs.unflatten(-1, (-1, x.shape[3])).transpose(1, 2)
        return x + self.mix(unfolded), hidden

    def _one_by_one(self, folded: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Run one GRU after the other, each in a single call: cuDNN's, or an operator of the exported graph."""
        outputs, new_states = [], []
        parts, states = folded.split(self.size, dim=-1), hidden.split(1, dim=1)
        for gru, part, state in zip(self.grus, parts, states, strict=True):
            output, new_state = gru(part, state.transpose(0, 1).contiguous())
            outputs.append(output)
            new_states.append(new_state)
        return torch.cat(outputs, dim=-1), torch.cat(new_states).transpose(0, 1)


def _even_first(values: Tensor) -> Tensor:
    """Reorder [2C,...] from even and odd in turn to all even ones, then all odd ones."""
    return values.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1)


def _joined(past: Tensor, x: Tensor) -> Tensor:
    """Put the frame ``past`` before the frames ``x``, in the memory format of ``x``."""
    if takes_channels_last(x):
        past = channels_last(past)
    return torch.cat([past, x], dim=2)
