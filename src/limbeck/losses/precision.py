"""The precision of losses: at least float32."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["at_least_float32"]

_wide = (torch.float32, torch.float64)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it is float16 or bfloat16, otherwise unchanged; gradients have the original dtype."""
    if tensor.dtype in _wide:
        return tensor
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
