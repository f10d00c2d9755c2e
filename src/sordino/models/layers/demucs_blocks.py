"""Layers of DEMUCS (Defossez et al., Interspeech 2020): gated strided convolutions, and the LSTM between them.

``forward`` runs on a whole signal, ``step`` on the next frames of a stream.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.models.layers.onnx_ops import Lstm


class EncoderLayer(nn.Module):
    """Encoder layer, [B,c_in,N] -> [B,c_out,N']: strided convolution, ReLU, 1x1 convolution, GLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.down = nn.Conv1d(c_in, c_out, kernel, stride)
        self.mix = nn.Conv1d(c_out, 2 * c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.mix(F.relu(self.down(x))), dim=1)


class DecoderLayer(nn.Module):
    """Decoder layer, [B,c_in,N'] -> [B,c_out,N]: 1x1 convolution, GLU, transposed convolution, ReLU but in the last."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, last: bool) -> None:
        super().__init__()
        self.mix = nn.Conv1d(c_in, 2 * c_in, 1)
        self.up = nn.ConvTranspose1d(c_in, c_out, kernel, stride)
        self.activation = nn.Identity() if last else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.up(F.glu(self.mix(x), dim=1)))

    def step(self, x: Tensor, inside: Tensor, overlap: Tensor) -> tuple[Tensor, Tensor]:
        """Process the next frames of a stream.

        Args:
            x: [B,c_in,N'].
            inside: [B,1,N'], 0 for frames before the signal began, else 1.
            overlap: [B,c_out,kernel - stride], contribution of earlier frames to the first samples of these.

        Returns:
            The samples to which no later frame contributes, [B,c_out,N' stride], and the next overlap.
        """
        ready = x.shape[-1] * self.up.stride[0]
        frames = F.glu(self.mix(x), dim=1) * inside
        samples = F.conv_transpose1d(frames, self.up.weight, stride=self.up.stride) + F.pad(overlap, (0, ready))
        # The bias is added only to complete samples: in the overlap it would be added again with the next block.
        complete = samples[..., :ready] + self.up.get_parameter("bias")[:, None]
        return self.activation(complete), samples[..., ready:]


class Recurrence(nn.Module):
    """Two layers of LSTM over time, [B,C,N] -> [B,C,N]; not causal: bidirectional, and a linear layer back to C."""

    def __init__(self, channels: int, causal: bool) -> None:
        super().__init__()
        self.lstm = Lstm(channels, channels, num_layers=2, batch_first=True, bidirectional=not causal)
        self.linear = nn.Identity() if causal else nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.lstm(x.transpose(1, 2))[0]).transpose(1, 2)

    def step(self, x: Tensor, inside: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Process the next frames of a stream, cell by cell; causal layers only.

        On a CPU, PyTorch's fused LSTM reorders its weights in every call, which takes several times longer than the
        arithmetic of a single frame.

        Args:
            x: [B,C,N].
            inside: [B,1,N], 0 for frames before the signal began, which leave the state at zero, else 1.
            hidden: [B,2,C], hidden state of both layers after the last frame.
            cell: [B,2,C], cell state of both layers after the last frame.

        Returns:
            The output [B,C,N], and ``hidden`` and ``cell`` after these frames.
        """
        hiddens, cells, frames = list(hidden.unbind(1)), list(cell.unbind(1)), []
        for frame, is_inside in zip(x.unbind(-1), inside.unbind(-1), strict=True):
            for layer, weights in enumerate(self.lstm.all_weights):
                frame, next_cell = torch.lstm_cell(frame, (hiddens[layer], cells[layer]), *weights)
                hiddens[layer], cells[layer] = frame * is_inside, next_cell * is_inside
            frames.append(frame)
        return torch.stack(frames, dim=-1), torch.stack(hiddens, dim=1), torch.stack(cells, dim=1)
