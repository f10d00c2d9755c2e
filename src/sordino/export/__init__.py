"""Export of networks to ONNX files, in float and in 8 bits."""

from __future__ import annotations

from sordino.export.int8 import Quantised, to_int8
from sordino.export.onnx_files import Parity, count_weights, to_onnx

__all__ = ["Parity", "Quantised", "count_weights", "to_int8", "to_onnx"]
