"""Vectors brought to length 1."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["scaled_to_unit", "unit"]


def unit(rows: Tensor) -> Tensor:
    """The vectors on the last axis at length 1; those of length 0 stay 0, and get the gradient 0."""
    return scaled_to_unit(rows, -1, 0.0, math.inf)[0]


def scaled_to_unit(vectors: Tensor, dim: int, least: Tensor | float, shorter: float) -> tuple[Tensor, Tensor]:
    """The vectors along an axis, each divided by its length, and which of them are too short to have a direction.

    Args:
        vectors: `[*]`, in at least float32.
        dim: the axis.
        least: what is not longer than this is too short; broadcasts with the lengths.
        shorter: what those are divided by instead.

    Returns:
        `[*]`, and a bool tensor of the same shape with length 1 on the axis.
    """
    found: tuple[Tensor, Tensor, Tensor] = _Unit.apply(vectors, dim, least, shorter)
    return found[0], found[2]


class _Unit(torch.autograd.Function):
    # By torch's own operations, this takes half as long again, and a second gradient at 0 is NaN.
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
        found = None
        if of_directions is not None:
            along = (of_directions * directions).sum(dim=ctx.dim, keepdim=True)
            found = (of_directions - directions * along) * inverse
        if of_inverse is not None:
            turned = directions * (of_inverse * inverse.square())
            found = -turned if found is None else found - turned
        return found, None, None, None
