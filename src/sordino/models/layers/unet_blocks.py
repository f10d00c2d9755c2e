"""The layers of the causal U-Net: convolutions that see two frames, and a recurrent bottleneck in groups.

A layer takes what it remembers of the block before, and returns it anew beside its output. On a CPU it works with
channels side by side in memory, and the recurrent units step together; a GPU and an exported graph get the plain
operators, with which both are faster. The results agree within rounding.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.models.layers.channels_last import Pointwise, channels_last, takes_channels_last
from sordino.models.layers.norm_prelu import NormPRelu
from sordino.models.layers.onnx_ops import Gru
from sordino.models.layers.scan import scan


class CausalConv(nn.Module):
    """Convolution over two frames, this one and the one before: [B,c_in,N,F] -> [B,c_out,N,F'].

    ``past`` is the last frame of the block before, [B,c_in,1,F]; silence has zeros there, which is causal padding. None
    is silence too, and costs no copy of ``x``: the convolution pads both ends, and a frame too many comes out, N + 1,
    which whoever reads the output leaves out.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, (2, 3), (1, stride), (0, 1), groups=groups, bias=False)

    def forward(self, x: Tensor, past: Tensor | None) -> Tensor:
        if past is None:
            return F.conv2d(x, self.conv.weight, self.conv.bias, self.conv.stride, (1, 1), groups=self.conv.groups)
        return self.conv(_joined(past, x))

    def interleaved(self, x: Tensor, past: Tensor | None) -> Tensor:
        """The same for a convolution whose output channels are even and odd frequencies in turn: [B,c_out/2,N,2F].

        With c_in groups, ``x`` has every channel twice: one depthwise convolution from 2 c_in channels to as many
        takes a fast kernel, one from c_in channels does not. Channels that lie side by side in memory, all even ones
        before all odd ones, ARE the interleaved frequencies.
        """
        weight, bias = (
            None if one is None else one.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1)
            for one in (self.conv.weight, self.conv.bias)
        )
        if past is not None:
            x = _joined(past, x)
        groups = 1 if self.conv.groups == 1 else x.shape[1]
        x = F.conv2d(x, cast(Tensor, weight), bias, padding=(int(past is None), 1), groups=groups)
        return x.movedim(1, -1).unflatten(-1, (2, -1)).flatten(2, 3).movedim(-1, 1)


class Down(nn.Module):
    """Encoder layer: half the frequencies. The first mixes its few input channels in full, the others separably."""

    def __init__(self, c_in: int, c_out: int, first: bool) -> None:
        super().__init__()
        self.conv = CausalConv(c_in, c_out if first else c_in, stride=2, groups=1 if first else c_in)
        self.mix = nn.Identity() if first else Pointwise(c_in, c_out, bias=False)
        self.out = NormPRelu(c_out)

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        mixed = self.mix(self.conv(x, past))
        return self.out(mixed, x.shape[2], mixed.shape[3]), x[:, :, -1:]


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

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        if not takes_channels_last(x):
            return self._plain(x, cast(Tensor, past))
        if isinstance(self.mix, Pointwise):
            x, past = self.mix(x, copies=2), None if past is None else past.repeat(1, 2, 1, 1)
        wide = self.conv.interleaved(x, past)
        frames, frequencies = x.shape[2], wide.shape[3] - 1
        if isinstance(self.out, NormPRelu):
            y = self.out(wide, frames, frequencies)
        else:
            y = self.out(wide[:, :, :frames, :frequencies])
        return y, x[:, : self.conv.conv.in_channels, -1:]

    def _plain(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        x = self.mix(x)
        y, out = self.conv(x, past), self.out
        if torch.compiler.is_exporting() and isinstance(out, nn.Sequential):
            norm, out = cast(nn.BatchNorm2d, out[0]), out[1]
            values = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            mean, variance, weight, bias = (cast(Tensor, value).repeat_interleave(2) for value in values)
            y = F.batch_norm(y, mean, variance, weight, bias, eps=norm.eps)
        even_odd = y.unflatten(1, (-1, 2)).movedim(2, -1)
        even_odd = even_odd.flatten(-2)[..., :-1]
        if isinstance(out, NormPRelu):
            return out(even_odd, *even_odd.shape[2:]), x[:, :, -1:]
        return out(even_odd), x[:, :, -1:]


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
        if takes_channels_last(x):
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


def _joined(past: Tensor, x: Tensor) -> Tensor:
    """A frame and those behind it, in the layout of the latter."""
    return torch.cat([channels_last(past) if takes_channels_last(x) else past, x], dim=2)
