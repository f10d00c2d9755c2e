"""Taking a network out of torch."""

from __future__ import annotations

from sotto.export.onnx import Parity, to_onnx

__all__ = ["Parity", "to_onnx"]
