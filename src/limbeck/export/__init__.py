"""The files that are shipped, the check that they compute what their model computes, and predictions with them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck.export.delivery import Delivery
    from limbeck.export.int8 import quantize_int8
    from limbeck.export.onnx import OPSET, export_onnx
    from limbeck.export.parity import check_parity
    from limbeck.export.predictors.prediction import Prediction
    from limbeck.export.session import Session

__all__ = ["OPSET", "Delivery", "Prediction", "Session", "check_parity", "export_onnx", "quantize_int8"]

# Imported when first used: predictions need neither torch nor onnx.
_homes = {
    "OPSET": "onnx",
    "Delivery": "delivery",
    "Prediction": "predictors.prediction",
    "Session": "session",
    "check_parity": "parity",
    "export_onnx": "onnx",
    "quantize_int8": "int8",
}


def __getattr__(name: str) -> Any:
    if name in _homes:
        return getattr(importlib.import_module(f"{__name__}.{_homes[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
