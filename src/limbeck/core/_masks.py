"""Masks and factors of rows, laid on tensors that have more axes."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from limbeck.core.ragged import Ragged
from limbeck.errors import ArgumentError

__all__ = ["align", "fit", "replace"]

Rows = TypeVar("Rows", Tensor, Ragged)


def align(tensor: Tensor, like: Tensor) -> Tensor:
    """[B] beside [B, T]: trailing axes of length 1, so that it broadcasts along them."""
    missing = like.ndim - tensor.ndim
    return tensor.reshape(tensor.shape + (1,) * missing) if missing > 0 else tensor


def fit(name: str, tensor: Tensor, unreduced: Tensor) -> Tensor:
    if tensor.shape != unreduced.shape[: tensor.ndim]:
        raise ArgumentError(
            f"the {name} has shape {list(tensor.shape)}, the unreduced loss {list(unreduced.shape)}; the {name} must "
            "have the loss's shape or its leading axes",
            code="wrong_shape",
            path=name,
        )
    return align(tensor, unreduced)


def replace(tensor: Rows, mask: Tensor) -> Rows:
    """0 wherever the mask leaves out a row, or every position of a row that has no such axis."""
    if isinstance(tensor, Ragged):
        return tensor.where(mask.flatten(1).any(-1) if mask.ndim > 1 else mask, 0)
    if tensor.shape[: mask.ndim] == mask.shape:
        return tensor.where(align(mask, tensor), 0)
    common = 0
    while common < min(tensor.ndim, mask.ndim) and tensor.shape[common] == mask.shape[common]:
        common += 1
    return tensor.where(align(mask.flatten(common).any(-1), tensor), 0) if common else tensor
