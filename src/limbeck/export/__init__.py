"""The files that are shipped, and the check that they compute what their model computes."""

from limbeck.export.int8 import quantize_int8
from limbeck.export.onnx import OPSET, export_onnx
from limbeck.export.parity import check_parity
from limbeck.export.session import Session

__all__ = ["OPSET", "Session", "check_parity", "export_onnx", "quantize_int8"]
