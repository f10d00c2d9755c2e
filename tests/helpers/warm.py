"""What runs of the tests load and make before their first step: imported by the process that others are copies of."""

from __future__ import annotations

import lightning_fabric
import pesq
import pystoi
import torch
import torch.utils.tensorboard

import sordino.data.tools.prepare
import sordino.data.tools.render
import sordino.data.tools.shard
import sordino.experiments.run
from helpers.corpora import FEW
from sordino.data.sources import Synthetic, synthetic

LOADED = (lightning_fabric, pesq, pystoi, torch, sordino)
synthetic.TEST_PAIRS = FEW
Synthetic(valid_items=1).valid()  # the synthetic corpus takes seconds to make and is kept
