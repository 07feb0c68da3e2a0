"""Values brought to mean 0 and norm 1: what is left of them when shift and scale do not count."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from limbeck.functional._unit import scaled_to_unit

__all__ = ["centred_unit"]

# In units of the rounding of the mean: a deviation below says nothing but how the mean was rounded.
_ROUNDINGS = 8


def centred_unit(
    values: Tensor, dim: int = -1, weight: Tensor | None = None, mean: float | None = None
) -> tuple[Tensor, Tensor]:
    """u = (x − mean x) / ‖x − mean x‖ along an axis, and where the values are constant.

    Constant values give 0, and the gradient of x − mean x: their norm counts as 1. Times √n these are the standard
    scores of n values, and the inner product of two is Pearson's correlation.

    Args:
        values: `[*]`, finite, in at least float32.
        dim: the axis.
        weight: 1, or 0 for what gives 0 and counts nothing; broadcasts with the values.
        mean: the mean of all values along the axis, if it is known, as that of probabilities; no gradient flows through
            it then.

    Returns:
        u, `[*]`, and a bool tensor of the same shape with length 1 on the axis.
    """
    rounding = _ROUNDINGS * torch.finfo(values.dtype).eps * math.sqrt(values.shape[dim])
    if mean is not None:
        return scaled_to_unit(values - mean, dim, rounding * abs(mean), shorter=1.0)
    if weight is None:
        found = values.mean(dim, keepdim=True)
        centred = values - found
    else:
        found = (values * weight).sum(dim, keepdim=True) / weight.sum(dim, keepdim=True).clamp(min=1)
        centred = (values - found) * weight
    return scaled_to_unit(centred, dim, rounding * found.detach().abs(), shorter=1.0)
