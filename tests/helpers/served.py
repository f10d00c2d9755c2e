"""Two models behind the listening page."""

from __future__ import annotations

from sordino.app.serve.models import ServedModel
from sordino.inference.model import Model

RATE = 16000
HALF = ServedModel("half", Model("half", RATE, lambda noisy: noisy / 2), parameters=1_000_000, test="ours", scores={})
QUARTER = ServedModel("quarter", Model("quarter", RATE, lambda noisy: noisy / 4), scores={"pesq_wb": 3.0}, test="ours")
