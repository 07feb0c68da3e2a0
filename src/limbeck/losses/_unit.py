"""Vectors scaled to length 1."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["scaled_to_unit", "unit_vectors"]


def unit_vectors(rows: Tensor) -> Tensor:
    """The vectors on the last axis scaled to length 1; vectors of length 0 stay 0 and have a gradient of 0."""
    return scaled_to_unit(rows, -1, 0.0, math.inf)[0]


def scaled_to_unit(vectors: Tensor, dim: int, least: Tensor | float, shorter: float) -> tuple[Tensor, Tensor]:
    """The vectors along an axis, each divided by its length, and which of them are too short to have a direction.

    Args:
        vectors: `[*]`, in at least float32.
        dim: the axis.
        least: vectors of at most this length are too short; broadcasts with the lengths.
        shorter: the divisor of vectors that are too short.

    Returns:
        `[*]`, and a bool tensor of the same shape with length 1 on the axis.
    """
    directions, _, short = _Unit.apply(vectors, dim, least, shorter)
    return directions, short


class _Unit(torch.autograd.Function):
    # PyTorch's operations take 1.5 times as long, and their second derivative at 0 is NaN.
    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, dim: int, least: Tensor | float, shorter: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        length = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
        short = length <= least
        inverse = length.masked_fill(short, shorter).reciprocal()
        directions = vectors * inverse
        ctx.save_for_backward(directions, inverse)
        ctx.dim = dim
        ctx.mark_non_differentiable(short)
        ctx.set_materialize_grads(False)
        return directions, inverse, short

    @staticmethod
    def backward(ctx: Any, of_directions: Tensor | None, of_inverse: Tensor | None, _: None) -> Any:
        directions, inverse = ctx.saved_tensors
        gradient = None
        if of_directions is not None:
            radial = (of_directions * directions).sum(dim=ctx.dim, keepdim=True)
            gradient = (of_directions - directions * radial) * inverse
        if of_inverse is not None:
            from_inverse = directions * (of_inverse * inverse.square())
            gradient = -from_inverse if gradient is None else gradient - from_inverse
        return gradient, None, None, None
