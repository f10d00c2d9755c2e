"""Taking a network out of torch."""

from __future__ import annotations

from sotto.export.int8 import Quantised, to_int8
from sotto.export.onnx import Parity, compare, compare_stream, count_weights, to_onnx

__all__ = ["Parity", "Quantised", "compare", "compare_stream", "count_weights", "to_int8", "to_onnx"]
