"""Fusion of a student's layers from last to first: features of later layers are added to earlier ones by learnt gates.

Chen, Liu, Zhao, Jia: "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv 2104.09044: the attention-based
fusion of ReviewKD, which CLSKD uses too. From the last layer to the first, with y passed on by the layer after it:

    x = BN(conv1x1 f_i),   (w1,w2) = sigmoid(conv1x1 [x;y]),   x <- w1 x + w2 y,   out_i = BN(conv x);   x is passed on.

Paper and published code agree; the last layer has none after it and no gate. Different here: y is resampled by averages
and linear interpolation, where the code repeats the nearest value, so that the layers are features of the same samples
(``positions.py``). The teacher's features play no part here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sordino.distill.layers.resize import planes, resize_planes


class FusionStep(nn.Module):
    """Fusion of one layer: a convolution to the common width, and gates for it and for what later layers passed on.

    Args:
        channels: of the layer's features.
        width: channels of what is passed on.
        target: channels of the output.
        kernel: frames and bins of the output's convolution, odd.
        gated: whether there is a layer after this one.
    """

    def __init__(self, channels: int, width: int, target: int, kernel: tuple[int, int], gated: bool) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.narrow = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
        self.widen = nn.Sequential(
            nn.Conv2d(width, target, kernel, padding=padding, bias=False), nn.BatchNorm2d(target)
        )
        self.gate = nn.Conv2d(2 * width, 2, 1) if gated else None
        for part in (self.narrow, self.widen):
            nn.init.kaiming_uniform_(part.get_parameter("0.weight"), a=1)

    def forward(
        self, feature: Tensor, later: Tensor | None, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Fuse ``feature`` [B,C,N,F] with what later layers passed on, [B,width,N',F'].

        Returns:
            The output [B,target,*size], the features to pass on [B,width,*size], and the mean gates [2], if any.
        """
        fused = self.narrow(feature)
        opening = None
        if self.gate is not None and later is not None:
            later = resize_planes(later, *fused.shape[2:])
            gates = self.gate(torch.cat([fused, later], dim=1)).sigmoid()
            fused = gates[:, :1] * fused + gates[:, 1:] * later
            opening = gates.detach().mean(dim=(0, 2, 3))
        fused = resize_planes(fused, *size)
        return self.widen(fused), fused, opening


class Fusion(nn.Module):
    """Fusion of all layers, each with the layers after it.

    Args:
        channels: of the features, first layer to last.
        targets: channels of each output.
        width: channels of what is passed on; ReviewKD takes those of the last layer, 512 at most.
        kernel: frames and bins of the outputs' convolutions, odd; (3, 3) in the paper, (1, 3) keeps frames apart.
    """

    def __init__(
        self, channels: Sequence[int], targets: Sequence[int], width: int, kernel: tuple[int, int] = (3, 3)
    ) -> None:
        super().__init__()
        last = len(channels) - 1
        self.stages = nn.ModuleList(
            FusionStep(own, width, target, kernel, gated=index < last)
            for index, (own, target) in enumerate(zip(channels, targets, strict=True))
        )

    def forward(
        self, features: Sequence[Tensor], sizes: Sequence[tuple[int, int]] | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Fuse the features of all layers.

        Args:
            features: [B,C,N] or [B,C,N,F], first layer to last; a feature without bins counts as having one.
            sizes: frames and bins of each output; by default those of the features.

        Returns:
            The fused features [B,target,frames,bins], first layer to last, and the mean gates [L-1,2], without a
            gradient: a row for each layer but the last, with the weights of its own features and of later ones.
        """
        surfaces = [planes(feature) for feature in features]
        wanted = [(surface.shape[2], surface.shape[3]) for surface in surfaces] if sizes is None else sizes
        outputs: list[Tensor] = []
        openings: list[Tensor] = []
        later: Tensor | None = None
        for stage, surface, size in reversed(list(zip(self.stages, surfaces, wanted, strict=True))):
            output, later, opening = stage(surface, later, size)
            outputs.insert(0, output)
            if opening is not None:
                openings.insert(0, opening)
        return outputs, torch.stack(openings) if openings else surfaces[0].new_zeros(0, 2)
