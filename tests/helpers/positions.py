"""Networks whose frames lie at positions of the signal."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from sordino import models
from sordino.models import Enhancer

NETWORKS: dict[str, dict[str, Any]] = {
    "manner-b": {"hidden": 6, "depth": 4},
    "manner-s": {"hidden": 6, "depth": 3},
    "demucs": {"hidden": 4, "depth": 4},
    "demucs of stride 2": {"hidden": 4, "depth": 4, "stride": 2, "resample": 2},
    "unet": {"width": 4, "depth": 3, "groups": 1},
    "dualpath": {"width": 8, "blocks": 1},
    "tstnn": {"channels": 8, "blocks": 1, "heads": 2, "frame": 128},
}
every_network = pytest.mark.parametrize("name", NETWORKS)


@cache
def network(name: str) -> Enhancer:
    torch.manual_seed(0)
    return models.create(name.partition(" ")[0], **NETWORKS[name]).eval()
