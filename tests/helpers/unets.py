"""U-Nets as training leaves them."""

from __future__ import annotations

import torch

from helpers.noise import noise
from sordino.models.unet import UNet


def network(**arguments: int) -> UNet:
    """A U-Net whose batch norms have seen something, so that they are no identities."""
    torch.manual_seed(0)
    made = UNet(**arguments).train()
    with torch.no_grad():
        made(noise(2, 8000, seed=1))
    return made.eval()
