"""Taking a network out of torch."""

from __future__ import annotations

from sotto.export.onnx import Parity, compare, compare_stream, count_weights, to_onnx

__all__ = ["Parity", "compare", "compare_stream", "count_weights", "to_onnx"]
