"""Linear inverted bottleneck: two linear maps, to more channels and back, with nothing in between.

Luong, Heikkinen, Drossos, Virtanen: "Knowledge Distillation for Speech Denoising by Latent Representation Alignment
with Cosine Distance", AES 158, 2025, arXiv 2505.03442: Z~ = W2 (W1 Z), W1 from C to r C channels, W2 from r C to D.

Only the abstract was available, which gives no more than the name. Chosen here: an expansion r of 2, kernels of size 1
in time and frequency, and neither activation nor normalisation nor bias, so that silence stays zero. It is NOT a
compression: being linear, it can represent no more than one matrix can, and changes only how that matrix is learnt.
"""

from __future__ import annotations

from torch import nn


class LinearBottleneck(nn.Sequential):
    """Linear inverted bottleneck, [B,C,N,F] -> [B,D,N,F]; a feature without frequencies has the shape [B,C,N,1].

    Args:
        c_in: C.
        c_out: D.
        expansion: r, at least 1.

    Raises:
        ValueError: an expansion below 1.
    """

    def __init__(self, c_in: int, c_out: int, expansion: int = 2) -> None:
        if expansion < 1:
            raise ValueError(f"the expansion of a bottleneck is at least 1, not {expansion}")
        wide = expansion * c_in
        super().__init__(nn.Conv2d(c_in, wide, 1, bias=False), nn.Conv2d(wide, c_out, 1, bias=False))
