"""Values scaled to mean 0 and norm 1, which removes shift and scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from limbeck.losses._unit import scaled_to_unit

__all__ = ["centred_unit"]

# In units of the rounding error of the mean: smaller deviations are rounding errors.
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
        weight: 1, or 0 for values that are left out and give 0; broadcasts with the values.
        mean: the mean of all values along the axis where it is known, as for probabilities; no gradient flows through
            it.

    Returns:
        u, `[*]`, and a bool tensor of the same shape with length 1 on the axis.
    """
    rounding = _ROUNDINGS * torch.finfo(values.dtype).eps * math.sqrt(values.shape[dim])
    if mean is not None:
        return scaled_to_unit(values - mean, dim, rounding * abs(mean), shorter=1.0)
    if weight is None:
        mean_value = values.mean(dim, keepdim=True)
        centred = values - mean_value
    else:
        mean_value = (values * weight).sum(dim, keepdim=True) / weight.sum(dim, keepdim=True).clamp(min=1)
        centred = (values - mean_value) * weight
    return scaled_to_unit(centred, dim, rounding * mean_value.detach().abs(), shorter=1.0)
